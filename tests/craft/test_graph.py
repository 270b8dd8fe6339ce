"""Binding: the graph is the template with its slots filled, and nothing else."""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.jobs import ControlNetUse, LoraUse, PanelSpec
from daemon.core.policy import Policy
from daemon.craft.graph import ModelUse, bind, graph_sha256, same_graph, with_prefix
from daemon.craft.limits import complaints
from daemon.craft.nodes import Node, as_link, inputs_of
from daemon.craft.template import read_template
from daemon.errors import AskerError

WORKFLOWS = Path(__file__).parents[2] / "workflows"
PANEL = read_template(
    (WORKFLOWS / "panel.json").read_text(), (WORKFLOWS / "panel.slots.toml").read_text()
)
BLANK = read_template(
    (WORKFLOWS / "blank.json").read_text(), (WORKFLOWS / "blank.slots.toml").read_text()
)
CANNY = read_template(
    (WORKFLOWS / "canny.json").read_text(), (WORKFLOWS / "canny.slots.toml").read_text()
)
PLAIN = PanelSpec(
    prompt="white cloak",
    negative="blurry",
    width=512,
    height=768,
    seeds=(421,),
    variations=1,
    steps=20,
    cfg=7.0,
    sampler="euler",
    scheduler="normal",
    denoise=1.0,
    clip_skip=2,
    checkpoint="anything-v5.safetensors",
    vae="vae-ft-mse-840000-ema-pruned.safetensors",
    workflow="panel",
    quality=True,
)
LORAS = (LoraUse("spyke_v1-000792.safetensors", 0.7), LoraUse("ink.safetensors", -0.5))
POSE = ControlNetUse("openpose.safetensors", "poses/ch01_p003.png", 0.65, 0.0, 1.0)
FULL = replace(PLAIN, loras=LORAS, controlnet=POSE)

names = st.text(string.ascii_lowercase, min_size=1, max_size=9).map(lambda s: f"{s}.safetensors")
strengths = st.floats(-2, 2, allow_nan=False)
specs = st.builds(
    PanelSpec,
    prompt=st.text(max_size=50),
    negative=st.text(max_size=50),
    width=st.integers(8, 64).map(lambda n: 8 * n),
    height=st.integers(8, 96).map(lambda n: 8 * n),
    seeds=st.just((1,)),
    variations=st.just(1),
    steps=st.integers(1, 60),
    cfg=st.floats(1, 30),
    sampler=st.sampled_from(["euler", "ddim"]),
    scheduler=st.sampled_from(["normal", "karras"]),
    denoise=st.floats(0, 1),
    clip_skip=st.integers(1, 4),
    checkpoint=names,
    vae=names,
    workflow=st.just("panel"),
    quality=st.booleans(),
    loras=st.lists(st.builds(LoraUse, names, strengths), max_size=4).map(tuple),
    controlnet=st.none()
    | st.builds(
        ControlNetUse,
        names,
        st.just("poses/a.png"),
        st.floats(0, 1),
        st.floats(0, 1),
        st.floats(0, 1),
    ),
)


def values_outside_slots(nodes: Mapping[str, Node]) -> Mapping[tuple[str, str], object]:
    """Every input of the template's nodes that no slot of the panel template fills."""
    slots = {(slot.node, slot.input) for slot in PANEL.slots.values}
    splices = {("1", 0), ("1", 1), ("4", 0), ("5", 0)}
    rewired = {
        (node, name)
        for node, body in PANEL.nodes.items()
        for name, value in inputs_of(body).items()
        if as_link(value) in splices
    }
    return {
        (node, name): value
        for node, body in nodes.items()
        if node in PANEL.nodes
        for name, value in inputs_of(body).items()
        if (node, name) not in slots | rewired | {("9", "filename_prefix")}
    }


@given(spec=specs, seed=st.integers(0, 2**53 - 1))
def test_the_bound_graph_differs_from_the_template_only_in_its_slots(
    spec: PanelSpec, seed: int
) -> None:
    """A2.2, A2.5: nothing that a job says reaches anything else, and what comes out may be sent."""
    bound = bind(PANEL, spec, seed=seed, hint="nightpress-a.png")
    assert values_outside_slots(bound.graph) == values_outside_slots(PANEL.nodes)
    for node, body in PANEL.nodes.items():
        assert bound.graph[node]["class_type"] == body["class_type"]
        assert inputs_of(bound.graph[node]).keys() | {"filename_prefix"} == (
            inputs_of(body).keys() | {"filename_prefix"}
        )
    added = sorted(
        str(bound.graph[node]["class_type"]) for node in bound.graph.keys() - PANEL.nodes
    )
    splice = ["ControlNetApplyAdvanced", "ControlNetLoader", "LoadImage"]
    assert added == (splice if spec.controlnet else []) + ["LoraLoader"] * len(spec.loras)
    assert complaints(bound, Policy()) == []


@given(spec=specs, seed=st.integers(0, 2**53 - 1))
def test_the_template_is_not_touched_and_the_same_request_gives_the_same_hash(
    spec: PanelSpec, seed: int
) -> None:
    before = json.dumps(PANEL.nodes)
    first = bind(PANEL, spec, seed=seed, hint="a.png")
    assert bind(PANEL, spec, seed=seed, hint="a.png") == first
    assert json.dumps(PANEL.nodes) == before
    assert bind(PANEL, spec, seed=seed + 1, hint="a.png").graph_sha256 != first.graph_sha256


def test_the_slots_hold_what_the_job_says() -> None:
    graph = bind(PANEL, PLAIN, seed=7).graph
    sampler = inputs_of(graph["7"])
    assert sampler["seed"] == 7
    assert (sampler["steps"], sampler["cfg"], sampler["sampler_name"]) == (20, 7.0, "euler")
    assert inputs_of(graph["3"])["stop_at_clip_layer"] == -2
    assert inputs_of(graph["4"])["text"] == "white cloak"
    assert inputs_of(graph["5"])["text"] == "blurry"
    assert "filename_prefix" not in inputs_of(graph["9"])


def test_without_loras_and_controlnet_nothing_is_spliced_in() -> None:
    graph = bind(PANEL, PLAIN, seed=7).graph
    assert graph.keys() == PANEL.nodes.keys()
    assert inputs_of(graph["7"])["model"] == ["1", 0]


def test_loras_are_chained_in_the_order_asked() -> None:
    """The checkpoint feeds the first, the last feeds whoever took the checkpoint before."""
    graph = bind(PANEL, FULL, seed=7, hint="a.png").graph
    assert inputs_of(graph["lora1"])["model"] == ["1", 0]
    assert inputs_of(graph["lora2"])["model"] == ["lora1", 0]
    assert inputs_of(graph["lora2"])["clip"] == ["lora1", 1]
    assert inputs_of(graph["7"])["model"] == ["lora2", 0]
    assert inputs_of(graph["3"])["clip"] == ["lora2", 1]
    assert inputs_of(graph["lora1"])["strength_clip"] == 0.7


def test_the_controlnet_stands_between_the_prompts_and_the_sampler() -> None:
    """A2.2"""
    graph = bind(PANEL, FULL, seed=7, hint="nightpress-a.png").graph
    applied = inputs_of(graph["controlnet-apply"])
    assert (applied["positive"], applied["negative"]) == (["4", 0], ["5", 0])
    assert (applied["strength"], applied["start_percent"], applied["end_percent"]) == (0.65, 0, 1)
    assert inputs_of(graph["7"])["positive"] == ["controlnet-apply", 0]
    assert inputs_of(graph["7"])["negative"] == ["controlnet-apply", 1]
    assert inputs_of(graph["hint"])["image"] == "nightpress-a.png"


def test_loras_are_loaded_by_the_files_that_they_resolved_to() -> None:
    spec = replace(PLAIN, loras=(LoraUse("spyke_v1", 0.7),))
    graph = bind(PANEL, spec, seed=7, loras=["spyke_v1-000792.safetensors"]).graph
    assert inputs_of(graph["lora1"])["lora_name"] == "spyke_v1-000792.safetensors"
    with pytest.raises(AskerError, match="2 LoRAs were asked for and 1 were found"):
        bind(PANEL, FULL, seed=7, loras=["one.safetensors"], hint="a.png")


def test_the_models_are_those_that_the_graph_loads() -> None:
    """M1.1: the VAE among them; embeddings are models too."""
    spec = replace(FULL, negative="(embedding:bad-hands:1.1), embedding:sub/easy.safetensors, x")
    assert bind(PANEL, spec, seed=7, hint="a.png").models == (
        ModelUse("checkpoint", "anything-v5.safetensors"),
        ModelUse("vae", "vae-ft-mse-840000-ema-pruned.safetensors"),
        ModelUse("embedding", "bad-hands"),
        ModelUse("embedding", "sub/easy.safetensors"),
        ModelUse("lora", "spyke_v1-000792.safetensors"),
        ModelUse("lora", "ink.safetensors"),
        ModelUse("controlnet", "openpose.safetensors"),
    )


def test_a_template_without_the_slot_refuses_what_needs_it() -> None:
    with pytest.raises(AskerError, match="no slot for LoRAs"):
        bind(BLANK, replace(PLAIN, loras=LORAS), seed=7)
    with pytest.raises(AskerError, match="no slot for a ControlNet"):
        bind(BLANK, replace(PLAIN, controlnet=POSE), seed=7, hint="a.png")
    with pytest.raises(AskerError, match="has not been given to the engine"):
        bind(PANEL, FULL, seed=7)


def test_a_template_with_a_controlnet_of_its_own_takes_the_job_s() -> None:
    """A2.2: and needs one."""
    graph = bind(PANEL, FULL, seed=7, hint="a.png").graph
    own = {**graph, "9": {**graph["9"], "inputs": {"images": ["8", 0]}}}
    slots = (WORKFLOWS / "panel.slots.toml").read_text()
    head, *tables = slots.split("[[slot]]")
    kept = [f"[[slot]]{t}" for t in tables if "lora_chain" not in t and '"controlnet"' not in t]
    ours = """
[[slot]]
field = "controlnet.strength"
kind = "float"
node = "controlnet-apply"
input = "strength"
[[slot]]
field = "controlnet.image"
kind = "image"
node = "hint"
input = "image"
"""
    template = read_template(json.dumps(own), head + "".join(kept) + ours)
    drawn = bind(
        template, replace(PLAIN, controlnet=replace(POSE, strength=1)), seed=1, hint="b.png"
    )
    assert inputs_of(drawn.graph["controlnet-apply"])["strength"] == 1.0
    assert inputs_of(drawn.graph["hint"])["image"] == "b.png"
    with pytest.raises(AskerError, match="needs \\[controlnet\\]"):
        bind(template, PLAIN, seed=1)


def test_a_seed_is_folded_into_the_range_of_a_smaller_input() -> None:
    graph = bind(BLANK, PLAIN, seed=2**24 + 5).graph
    assert inputs_of(graph["1"])["color"] == 5


def test_whole_numbers_and_their_floats_are_one_graph() -> None:
    """A job file's ``cfg = 7`` and ``cfg = 7.0`` are one request."""
    whole = replace(FULL, cfg=7, controlnet=replace(POSE, start=0, end=1))
    spelled = bind(PANEL, whole, seed=1, hint="a.png"), bind(PANEL, FULL, seed=1, hint="a.png")
    assert spelled[0].graph_sha256 == spelled[1].graph_sha256


def test_the_prefix_is_in_what_is_sent_and_not_in_the_hash() -> None:
    """N3.3: the prefix contains the prompt id, and that contains the hash."""
    bound = bind(PANEL, PLAIN, seed=7)
    sent = with_prefix(bound, "nightpress/0b8f0c526a0a")
    assert inputs_of(sent["9"])["filename_prefix"] == "nightpress/0b8f0c526a0a"
    assert graph_sha256(bound.graph) == bound.graph_sha256
    assert graph_sha256(sent) != bound.graph_sha256


def test_the_hash_is_of_the_canonical_json() -> None:
    """Two programs that agree on the graph agree on the prompt id."""
    canonical = b'{"1":{},"2":{"a":"\\u00e9","b":1.5}}'
    assert graph_sha256({"2": {"b": 1.5, "a": "é"}, "1": {}}) == sha256(canonical).hexdigest()


def test_a_graph_is_recognized_by_nodes_classes_and_inputs() -> None:
    """N1.2: what a server notes for itself does not make it another."""
    graph = with_prefix(bind(PANEL, PLAIN, seed=7), "nightpress/abc")
    noted = {node: {**body, "is_changed": [1.0], "_meta": {}} for node, body in graph.items()}
    assert same_graph(graph, noted)
    assert same_graph(graph, json.loads(json.dumps(graph)))
    other_prefix = with_prefix(bind(PANEL, PLAIN, seed=7), "nightpress/abd")
    assert not same_graph(graph, other_prefix)
    assert not same_graph(graph, {**graph, "10": graph["9"]})
    assert not same_graph(graph, dict.fromkeys(graph, "?"))
