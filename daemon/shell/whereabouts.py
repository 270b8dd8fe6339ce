"""Finds one prompt on an engine that may have been restarted: in history, queue, or its output.

Law: absence proves nothing until history, queue and history again have said it twice; and what was
saved whole under the prompt's own prefix is its picture, whoever remembers it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial

from daemon.core.jobs import Outcome
from daemon.core.policy import Policy
from daemon.craft.graph import same_graph
from daemon.craft.nodes import Node, inputs_of
from daemon.ports import Renderer
from daemon.shell.patience import GivenUp, Patience
from daemon.wire.comfyui import Graph, HistoryEntry, OutputFile
from daemon.wire.png_text import prompt_of


@dataclass(frozen=True, slots=True)
class DrawOrder:
    """One picture. ``graph`` has its file prefix bound; ``note`` travels inside the picture.
    ``map_node`` saves the hint that the graph makes for itself ('' = none).

    ``draw_s``: its deadline, from the first sampler step. ``fresh``: its id was recorded
    only now, so the engine cannot know it. ``earlier`` are prompts of the same picture that were
    lost: one of them may have been drawn after all.
    """

    prompt_id: str
    graph: Mapping[str, Node]
    save_node: str
    draw_s: float
    note: Mapping[str, object]
    map_node: str = ""
    fresh: bool = False
    earlier: tuple[DrawOrder, ...] = ()


@dataclass(frozen=True, slots=True)
class Drawn:
    """The picture's bytes as the engine saved them, and the graph that was really executed.

    ``pose_map`` is the hint that the graph made for itself, None where it makes none. ``cached``:
    the nodes whose results it took from its cache, None where nobody says; ``seconds`` that it
    took, 0 = unknown.
    """

    png: bytes
    graph: Graph
    cached: frozenset[str] | None = None
    seconds: float = 0.0
    pose_map: bytes | None = None


class Place(Enum):
    """Where a prompt is that has not ended."""

    ABSENT = "absent"
    PENDING = "pending"
    RUNNING = "running"


class Whereabouts:
    """Where one prompt is. Each question raises ``GivenUp`` when nobody answers for too long."""

    def __init__(self, order: DrawOrder, renderer: Renderer, policy: Policy) -> None:
        self._order, self._renderer = order, renderer
        self._pause_s = policy.history_poll_s
        self._patience = Patience(policy)
        self.accepted = False  # The engine said 200: what stands under our id is ours.

    async def look(self) -> HistoryEntry | Place:
        """History, queue, history again: prompts move on under one lock, so none slips through."""
        entry = await self.entry()
        if entry is not None:
            return entry
        queue = await self._patience.ask(self._renderer.queue)
        for graphs, place in ((queue.running, Place.RUNNING), (queue.pending, Place.PENDING)):
            if self._order.prompt_id in graphs:
                self._must_be_ours(graphs[self._order.prompt_id])
                return place
        return await self.entry() or Place.ABSENT

    async def entry(self) -> HistoryEntry | None:
        """The prompt's entry in the history, once it has ended."""
        entry = await self._patience.ask(lambda: self._renderer.history(self._order.prompt_id))
        if entry is not None:
            self._must_be_ours(entry.graph)
        return entry

    def _must_be_ours(self, graph: Graph) -> None:
        # A server may rewrite nodes of a graph that it accepted from us (it replaces outdated
        # ones); only what was found, not sent, has to be recognized by its looks.
        if not self.accepted and not same_graph(self._order.graph, graph):
            raise GivenUp(
                Outcome.FAILED,
                "STRANGER",
                f"The engine has another graph under our prompt id {self._order.prompt_id}; it is"
                " left alone. Retry the job: the next attempt has an id of its own.",
            )

    async def harvest(self) -> Drawn | None:
        """The picture of a prompt that a restarted engine knows no more, if it was saved whole.

        No other prompt has its prefix, so its first file is its picture; that it is whole and of
        this graph is in the file itself.
        """
        found: list[bytes] = []
        graph: Graph = {}
        for node in filter(None, (self._order.save_node, self._order.map_node)):
            folder, stem = saved_under(self._order, node)
            file = OutputFile(node, f"{stem}_00001_.png", folder, "output")
            try:
                png = await self._patience.ask(partial(self._renderer.view, file))
            except GivenUp as missing:
                if missing.code != "OUTPUT_MISSING":
                    raise
                return None
            graph = prompt_of(png) or {}
            if not same_graph(self._order.graph, graph):
                return None
            found.append(png)
        picture, *maps = found
        return Drawn(picture, graph, pose_map=maps[0] if maps else None)

    async def look_twice(self) -> HistoryEntry | Place:
        """Absence is believed when it is still so a moment later."""
        found = await self.look()
        if found is not Place.ABSENT:
            return found
        await asyncio.sleep(self._pause_s)
        return await self.look()


def saved_under(order: DrawOrder, node: str) -> tuple[str, str]:
    """Folder and stem of what a node of it saves."""
    prefix = str(inputs_of(order.graph[node])["filename_prefix"])
    folder, _, stem = prefix.rpartition("/")
    return folder, stem
