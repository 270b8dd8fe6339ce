"""Rehearsal room: in which order the nodes of a prompt run.

Observed order: of the nodes that could run now, an output first, then what feeds an output, then
what feeds that, else the one that was met first when walking back from the outputs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from daemon.rehearsal.nodes import CLASSES


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
            sources = [v[0] for v in inputs if isinstance(v, list)]
            sources = [source for source in sources if not is_cached(source)]
            # A cached output only shows again what it has; it needs nothing.
            self._needs[node_id] = set() if is_cached(node_id) else set(sources)
            stack += [] if is_cached(node_id) else sources

    def __iter__(self) -> Iterator[str]:
        while self._needs:
            node_id = self._pick()
            del self._needs[node_id]
            for needs in self._needs.values():
                needs.discard(node_id)
            yield node_id

    def _pick(self) -> str:
        ready = [node_id for node_id, needs in self._needs.items() if not needs]
        for distance in range(3):
            for node_id in ready:
                if self._feeds_output(node_id, distance):
                    return node_id
        return ready[0]

    def _feeds_output(self, node_id: str, distance: int) -> bool:
        if distance == 0:
            return CLASSES[self._prompt[node_id]["class_type"]].saves
        fed = [other for other, needs in self._needs.items() if node_id in needs]
        return any(self._feeds_output(other, distance - 1) for other in fed)
