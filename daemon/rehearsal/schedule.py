"""Rehearsal room: in which order the nodes of a prompt run.

Observed order: of the nodes that could run now, the one that was met first when walking back from
the outputs, the latest input first.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any


def is_link(value: Any) -> bool:
    """Whether an input is a link: a list of node id and output slot."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


class Schedule:
    """The nodes to run, each after what it needs. Cached nodes are left out, outputs never."""

    def __init__(
        self,
        prompt: Mapping[str, Any],
        outputs: Iterable[str],
        is_cached: Callable[[str], bool],
    ) -> None:
        self._prompt = prompt
        self._needs: dict[str, set[str]] = {}
        for output in outputs:
            self._add(output, is_cached)

    def _add(self, output: str, is_cached: Callable[[str], bool]) -> None:
        stack = [output]
        while stack:
            node_id = stack.pop()
            if node_id in self._needs:
                continue
            inputs = self._prompt[node_id]["inputs"].values()
            sources = [value[0] for value in inputs if is_link(value)]
            sources = [source for source in sources if not is_cached(source)]
            # A cached output only shows again what it has; it needs nothing.
            self._needs[node_id] = set() if is_cached(node_id) else set(sources)
            stack += [] if is_cached(node_id) else sources

    def __iter__(self) -> Iterator[str]:
        while self._needs:
            node_id = next(node_id for node_id, needs in self._needs.items() if not needs)
            del self._needs[node_id]
            for needs in self._needs.values():
                needs.discard(node_id)
            yield node_id
