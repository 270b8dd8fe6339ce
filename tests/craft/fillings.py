"""Random templates with random fillings, and the law that a bound graph is held against."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from daemon.core.jobs import ControlNetUse, PanelSpec
from daemon.core.policy import Policy
from daemon.craft.graph import BoundGraph, bind, with_prefix
from daemon.craft.limits import complaints
from daemon.craft.slots import FIELDS, OPTIONAL_FIELDS, ROLES
from daemon.craft.template import Template, read_template
from tests.craft.test_graph import POSE, specs

HINT = "nightpress-input-0123456789ab.png"
IDS = st.from_regex(r"[A-Za-z0-9_.:'-]{1,6}", fullmatch=True) | st.sampled_from(
    ["lora1", "lora2", "hint", "controlnet", "controlnet-apply", "controlnet-apply'"]
)
Draw = st.DrawFn
# The inputs that may take a field, as the roles of nodes in the random template.
PLACES: Mapping[str, list[tuple[str, str]]] = {
    "prompt": [("positive", "text")],
    "negative": [("negative", "text")],
    "width": [("latent", "width")],
    "height": [("latent", "height")],
    "seed": [("sampler", "seed")],
    "steps": [("sampler", "steps")],
    "cfg": [("sampler", "cfg")],
    "sampler": [("sampler", "sampler_name")],
    "scheduler": [("sampler", "scheduler")],
    "denoise": [("sampler", "denoise")],
    "clip_skip": [("skip", "stop_at_clip_layer")],
    "checkpoint": [("checkpoint", "ckpt_name")],
    "vae": [("vae", "vae_name")],
    "controlnet.model": [("net", "control_net_name")],
    "controlnet.image": [("hint", "image")],
    "controlnet.strength": [("apply", "strength")],
    "controlnet.start": [("apply", "start_percent")],
    "controlnet.end": [("apply", "end_percent")],
}


@dataclass(frozen=True)
class Case:
    """A template, what it is filled with, and the fields of its slots by node and input."""

    template: Template
    spec: PanelSpec
    seed: int
    filled: Mapping[tuple[str, str], str]


@st.composite
def cases(draw: Draw) -> Case:
    """Templates of every shape that a slots file can describe, each with a job that fits it."""
    own = draw(st.booleans())
    nodes = _nodes(draw, own=own)
    names = dict(zip(nodes, draw(st.permutations(_ids(draw, len(nodes)))), strict=True))
    graph = {
        names[role]: {"class_type": kind, "inputs": {k: _named(v, names) for k, v in body.items()}}
        for role, (kind, body) in draw(st.permutations(list(nodes.items())))
    }
    fields = [each for each in PLACES if each not in OPTIONAL_FIELDS and draw(st.booleans())]
    own_fields = [each for each in PLACES if each.startswith("controlnet.") and draw(st.booleans())]
    fields += ["controlnet.image", *own_fields] if own else []
    filled = {
        (names[role], key): field
        for field in fields
        for role, key in PLACES[field]
        if role in nodes
    }
    loras, splice = draw(st.booleans()), not own and draw(st.booleans())
    slots = [_slot(field, node, key) for (node, key), field in filled.items()]
    at = names[draw(st.sampled_from(["checkpoint", "skip"]))] if "skip" in nodes else ""
    clip = [at, 0] if at == names.get("skip") and at else [names["checkpoint"], 1]
    lora = {"model": [names["checkpoint"], 0], "clip": clip}
    net = {"positive": [names["positive"], 0], "negative": [names["negative"], 0]}
    slots += [{"field": "loras", "kind": "lora_chain", **lora}] if loras else []
    slots += [{"field": "controlnet", "kind": "controlnet", **net}] if splice else []
    ignores = [f for f in FIELDS if f not in OPTIONAL_FIELDS | set(filled.values())]
    text = _toml({"ignores": ignores}, slots, names.get("map", ""))
    template = read_template(json.dumps(graph), text)
    wanted = own or (splice and draw(st.booleans()))
    spec = replace(draw(specs), controlnet=_net(draw) if wanted else None)
    spec = spec if loras else replace(spec, loras=())
    return Case(template, spec, draw(st.integers(0, 2**53 - 1)), filled)


def _nodes(draw: Draw, *, own: bool) -> dict[str, tuple[str, dict[str, Any]]]:
    """Class and inputs by role; a link is a tuple of a role and an output."""
    skip, inverted, maps = draw(st.booleans()), draw(st.booleans()), own and draw(st.booleans())
    clip = ("skip", 0) if skip else ("checkpoint", 1)
    guided = ("apply", 0), ("apply", 1)
    positive, negative = guided if own else (("positive", 0), ("negative", 0))
    prefix = draw(st.sampled_from(["ComfyUI", "nightpress/panel", "a b"]))
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "checkpoint": ("CheckpointLoaderSimple", {"ckpt_name": "a.safetensors"}),
        "vae": ("VAELoader", {"vae_name": "b.safetensors"}),
        "positive": (
            "CLIPTextEncode",
            {"text": draw(st.text("ab ,.\n", max_size=9)), "clip": clip},
        ),
        "negative": ("CLIPTextEncode", {"clip": clip, "text": ""}),
        "latent": ("EmptyLatentImage", {"width": 512, "height": 512, "batch_size": 1}),
        "sampler": (
            "KSampler",
            {
                "model": ("checkpoint", 0),
                "positive": positive,
                "negative": negative,
                "latent_image": ("latent", 0),
                "seed": draw(st.integers(0, 2**64 - 1)),
                "steps": draw(st.integers(1, 60)),
                "cfg": draw(st.sampled_from([7, 7.0, 1.5])),
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": draw(st.sampled_from([1, 1.0, 0.25])),
            },
        ),
        "decode": ("VAEDecode", {"samples": ("sampler", 0), "vae": ("vae", 0)}),
    }
    if skip:
        nodes["skip"] = "CLIPSetLastLayer", {"clip": ("checkpoint", 1), "stop_at_clip_layer": -2}
    if inverted:
        nodes["invert"] = "ImageInvert", {"image": ("decode", 0)}
    picture = ("invert" if inverted else "decode", 0)
    nodes["save"] = "SaveImage", {"images": picture, "filename_prefix": prefix}
    if own:
        nodes["hint"] = "LoadImage", {"image": "a.png", "upload": "image"}
        nodes["net"] = "ControlNetLoader", {"control_net_name": "c.safetensors"}
        guide: dict[str, Any] = {"strength": 1, "start_percent": 0.0, "end_percent": 1}
        guide |= {"control_net": ("net", 0), "image": ("lines" if maps else "hint", 0)}
        texts = {"positive": ("positive", 0), "negative": ("negative", 0)}
        nodes["apply"] = "ControlNetApplyAdvanced", {**texts, **guide}
    if maps:
        lines = {"image": ("hint", 0), "low_threshold": 0.1, "high_threshold": 0.5}
        nodes["lines"] = "Canny", lines
        nodes["map"] = "SaveImage", {"images": ("lines", 0)}
    return nodes


def _ids(draw: Draw, count: int) -> list[str]:
    return draw(st.lists(IDS, min_size=count, max_size=count, unique=True))


def _named(value: Any, names: Mapping[str, str]) -> Any:
    return [names[value[0]], value[1]] if isinstance(value, tuple) else value


def _net(draw: Draw) -> ControlNetUse:
    share = st.floats(0, 1)
    return replace(POSE, strength=draw(st.floats(0, 2)), start=draw(share), end=draw(share))


def _slot(field: str, node: str, key: str) -> Mapping[str, object]:
    role = {"role": ROLES[field]} if field in ROLES else {}
    times = {"times": -1} if field == "clip_skip" else {}
    return {"field": field, "kind": FIELDS[field], "node": node, "input": key, **role, **times}


def _toml(top: Mapping[str, object], slots: list[Any], pose_map: str) -> str:
    """JSON's texts, numbers and lists are TOML's too."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
    for slot in slots:
        lines += ["[[slot]]", *(f"{key} = {json.dumps(value)}" for key, value in slot.items())]
    lines += ["[pose_map]", f"node = {json.dumps(pose_map)}"] if pose_map else []
    return "\n".join(lines)


def hold_the_law(case: Case) -> None:
    """The bound graph differs from the template in its slots only, and may be sent (A2.2, A2.5)."""
    template, spec = case.template, case.spec
    before = json.dumps(template.nodes)
    bound = bind(template, spec, seed=case.seed, hint=HINT if spec.controlnet else None)
    assert json.dumps(template.nodes) == before, "the template was touched"
    saves = {template.save_node, template.slots.map_node} - {""}
    for node, body in template.nodes.items():
        _same_node(case, bound, node, body, saves=saves)
    added = Counter(
        str(bound.graph[node]["class_type"]) for node in bound.graph - template.nodes.keys()
    )
    wanted = Counter({"LoraLoader": len(spec.loras)})
    if template.slots.controlnet and spec.controlnet:
        wanted.update(["ControlNetLoader", "LoadImage", "ControlNetApplyAdvanced"])
    assert added == +wanted
    assert complaints(bound, Policy()) == []
    sent = with_prefix(bound, "nightpress/0b8f0c526a0a")
    for node, body in sent.items():
        inputs = dict(_inputs(body))
        prefix = inputs.pop("filename_prefix", None)
        assert (prefix is not None) is (node in saves)
        assert inputs == _inputs(bound.graph[node])
    assert len({str(_inputs(sent[node])["filename_prefix"]) for node in saves}) == len(saves)


def _same_node(
    case: Case, bound: BoundGraph, node: str, body: Mapping[str, Any], *, saves: set[str]
) -> None:
    after = bound.graph[node]
    assert after["class_type"] == body["class_type"]
    given = dict(body["inputs"])
    if node in saves:
        given.pop("filename_prefix", None)
    assert _inputs(after).keys() == given.keys()
    for key, value in given.items():
        found, field = _inputs(after)[key], case.filled.get((node, key))
        if isinstance(value, list):
            found = _before_splices(case.template, bound, found)
        wanted = _asked(case, field) if field else value
        assert json.dumps(found) == json.dumps(wanted), (node, key)


def _asked(case: Case, field: str) -> object:
    """What a job says, as the node wants it."""
    if field == "seed":
        return case.seed
    if field == "controlnet.image":
        return HINT
    where: Any = case.spec
    for part in field.split("."):
        where = getattr(where, part)
    if FIELDS[field] == "float":
        return float(where)
    return -where if field == "clip_skip" else where


def _before_splices(template: Template, bound: BoundGraph, link: Any) -> Any:
    """Back through the nodes that were put in: each gives on what it takes under the same name."""
    ways = {"LoraLoader": ("model", "clip"), "ControlNetApplyAdvanced": ("positive", "negative")}
    while link[0] not in template.nodes:
        body = bound.graph[link[0]]
        link = _inputs(body)[ways[str(body["class_type"])][link[1]]]
    return link


def _inputs(body: Mapping[str, Any]) -> Mapping[str, Any]:
    inputs = body["inputs"]
    assert isinstance(inputs, Mapping)
    return inputs
