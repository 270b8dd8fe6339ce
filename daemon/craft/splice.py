"""Knows splicing: LoRAs and a ControlNet are put into a graph behind the outputs that a slot names.

Law: whoever took the output before takes the end of the splice after, and nothing else is touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from daemon.core.jobs import ControlNetUse
from daemon.craft.nodes import Link, Node, as_link, inputs_of
from daemon.craft.slots import ControlNetSplice, LoraChain

Taker = tuple[str, str]
"""A node's id and the name of its input that takes a link."""


class Draft:
    """A copy of a template's nodes in the making; the template is not touched."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self._heads: dict[str, Node] = dict(nodes)
        # Values inside inputs are replaced and never changed, so this depth of copy is enough.
        self._inputs = {node: dict(inputs_of(body)) for node, body in nodes.items()}

    def fill(self, node: str, name: str, value: object) -> None:
        """Set one input of one node."""
        self._inputs[node][name] = value

    def clear(self, node: str, name: str) -> None:
        """Take an input away, if there is such a node and it has one."""
        self._inputs.get(node, {}).pop(name, None)

    def add(self, wish: str, class_type: str, inputs: Mapping[str, object]) -> str:
        """A new node; its id is the one wished for, or like it where the template has that one."""
        node = wish
        while node in self._heads:
            node += "'"
        self._heads[node] = {"class_type": class_type}
        self._inputs[node] = dict(inputs)
        return node

    def takers(self, source: Link) -> Sequence[Taker]:
        """Every input that takes this output now."""
        return [
            (node, name)
            for node, inputs in self._inputs.items()
            for name, value in inputs.items()
            if as_link(value) == source
        ]

    def reconnect(self, takers: Iterable[Taker], source: Link) -> None:
        """Let these inputs take another output."""
        for node, name in takers:
            self.fill(node, name, list(source))

    def nodes(self) -> Mapping[str, Node]:
        """The nodes as they are now."""
        return {node: {**head, "inputs": self._inputs[node]} for node, head in self._heads.items()}


def splice_loras(draft: Draft, at: LoraChain, uses: Iterable[tuple[str, float]]) -> None:
    """One loader for each (file name, strength), in this order; none leaves the graph as it is."""
    model, clip = at.model, at.clip
    model_takers, clip_takers = draft.takers(model), draft.takers(clip)
    for number, (name, strength) in enumerate(uses, start=1):
        inputs = {
            "model": list(model),
            "clip": list(clip),
            "lora_name": name,
            "strength_model": strength,
            "strength_clip": strength,
        }
        node = draft.add(f"lora{number}", "LoraLoader", inputs)
        model, clip = (node, 0), (node, 1)
    draft.reconnect(model_takers, model)
    draft.reconnect(clip_takers, clip)


def splice_controlnet(draft: Draft, at: ControlNetSplice, use: ControlNetUse, hint: str) -> None:
    """Loader, hint image and application behind both conditionings. ``hint``: the engine's name."""
    positive, negative = draft.takers(at.positive), draft.takers(at.negative)
    loader = draft.add("controlnet", "ControlNetLoader", {"control_net_name": use.model})
    image = draft.add("hint", "LoadImage", {"image": hint})
    inputs = {
        "positive": list(at.positive),
        "negative": list(at.negative),
        "control_net": [loader, 0],
        "image": [image, 0],
        "strength": float(use.strength),
        "start_percent": float(use.start),
        "end_percent": float(use.end),
    }
    applied = draft.add("controlnet-apply", "ControlNetApplyAdvanced", inputs)
    draft.reconnect(positive, (applied, 0))
    draft.reconnect(negative, (applied, 1))
