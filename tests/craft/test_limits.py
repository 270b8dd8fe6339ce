"""Limits on the finished graph: hostile templates get no further than harmless ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.policy import Policy
from daemon.craft.core_nodes import CORE
from daemon.craft.graph import BoundGraph, bind, with_prefix
from daemon.craft.limits import MAX_NODES, complaints
from daemon.craft.nodes import Node, inputs_of
from tests.craft.test_graph import FULL, PANEL

POLICY = Policy()
GRAPH = with_prefix(bind(PANEL, FULL, seed=7, hint="nightpress-a.png"), "nightpress/0b8f0c526a0a")


def node(class_type: str, **inputs: object) -> Node:
    return {"class_type": class_type, "inputs": inputs}


def changed(where: str, **inputs: object) -> Mapping[str, Node]:
    """The good graph with some inputs of one node set anew."""
    body = GRAPH[where]
    return {**GRAPH, where: {**body, "inputs": {**inputs_of(body), **inputs}}}


def judged(graph: Mapping[str, Node], policy: Policy = POLICY) -> Sequence[str]:
    """The panel template's save node is 9; nothing of this comes from a pack."""
    return complaints(BoundGraph(graph, "", (), "9"), policy)


def said(graph: Mapping[str, Node]) -> str:
    return "\n".join(judged(graph))


def test_a_good_graph_gives_no_cause_for_complaint() -> None:
    assert judged(GRAPH) == []


@pytest.mark.parametrize(
    "extra",
    [
        {"x": node("ControlNetLoader", control_net_name="b.safetensors")},
        {
            "x": node(
                "ControlNetApplyAdvanced",
                positive=["controlnet-apply", 0],
                negative=["controlnet-apply", 1],
                control_net=["controlnet", 0],
                image=["hint", 0],
                strength=1.0,
                start_percent=0.0,
                end_percent=1.0,
            )
        },
    ],
)
def test_a_second_controlnet_is_refused_in_a_chain_too(extra: Mapping[str, Node]) -> None:
    """A2.2, C1.2: loaders and applications are counted in the graph, not in the request; so
    OpenPose and Lineart are never both in one.
    """
    assert "1 ControlNet fits" in said({**GRAPH, **extra})


@pytest.mark.parametrize("size", [2, 0, "2", ["6", 0], None])
def test_a_batch_is_refused(size: object) -> None:
    """A2.5: whatever it is, it is not 1."""
    assert "batch_size" in said(changed("6", batch_size=size))


@pytest.mark.parametrize(
    ("width", "height", "why"),
    [
        (776, 256, "each side is 64 to 768"),
        (56, 256, "each side is 64 to 768"),
        (520, 768, "makes a 16 GB machine swap"),
        (500, 512, "multiples of 8"),
        ("512", 512, "no whole number"),
        (["4", 0], 512, "is a link, and a value belongs there"),
        (512.0, 512, "no whole number"),
        (True, 512, "no whole number"),
    ],
)
def test_a_size_beyond_the_hardware_is_refused(width: object, height: object, why: str) -> None:
    """A2.1"""
    assert why in said(changed("6", width=width, height=height))


def test_an_upscaler_is_no_way_around_the_size() -> None:
    """A2.1: every node that has a size is measured."""
    big = node("LatentUpscale", samples=["7", 0], width=1024, height=1024, upscale_method="area")
    assert "Node x is 1024 x 1024" in said({**GRAPH, "x": big})


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("CheckpointLoader", "cannot check and record"),
        ("UNETLoader", "cannot check and record"),
        ("unCLIPCheckpointLoader", "cannot check and record"),
        ("RepeatLatentBatch", "may run unattended"),
        ("LatentUpscaleBy", "may run unattended"),
        ("VAEEncode", "may run unattended"),
        ("PreviewImage", "may run unattended"),
        ("SomebodysPythonNode", "may run unattended"),
    ],
)
def test_only_known_nodes_may_be_in_it(name: str, why: str) -> None:
    assert why in said({**GRAPH, "x": node(name)})


def test_the_vae_is_a_file_of_its_own() -> None:
    """M1.1: a checkpoint's baked VAE is refused."""
    assert "VAE of CheckpointLoaderSimple" in said(changed("8", vae=["1", 2]))
    assert "VAE of nothing" in said(changed("8", vae="taesd"))


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd.safetensors",
        "../x.safetensors",
        "a/../../x.safetensors",
        "C:x.safetensors",
        "a\\b.safetensors",
        "~/x.safetensors",
        "x.ckpt",
        "taesd",
        "",
        "a\n.safetensors",
        "a" * 300 + ".safetensors",
        7,
        ["4", 0],
    ],
)
@pytest.mark.parametrize(
    ("where", "key"),
    [("1", "ckpt_name"), ("2", "vae_name"), ("lora1", "lora_name")],
)
def test_models_are_safetensors_inside_their_folder(where: str, key: str, name: object) -> None:
    """N3.1: no absolute path, no way out, no format that can run code."""
    assert f"Node {where} loads" in said(changed(where, **{key: name}))


@pytest.mark.parametrize("name", ["/a.png", "../a.png", "a.png [output]", "a//b.png", "", None])
def test_a_hint_is_inside_the_engines_input_folder(name: object) -> None:
    """N3.1"""
    assert "no plain file name" in said(changed("hint", image=name))


def test_an_embedding_is_inside_its_folder() -> None:
    """N3.1"""
    assert "leaves models/embeddings" in said(changed("4", text="a, embedding:../../x, b"))


@pytest.mark.parametrize(
    ("link", "why"),
    [
        (["99", 0], "which is not there"),
        (["1", 3], "has not got"),
        (["1", -1], "has not got"),
        (["9", 0], "has not got"),
        (["1"], "neither a value nor a link"),
        ({"__value__": [1]}, "neither a value nor a link"),
    ],
)
def test_links_lead_somewhere(link: object, why: str) -> None:
    assert why in said(changed("7", model=link))


def test_links_do_not_go_round_in_a_circle() -> None:
    assert "circle through 4" in said(changed("4", clip=["4", 0]))
    pair = {**changed("3", clip=["x", 0]), "x": node("CLIPSetLastLayer", clip=["3", 0])}
    assert "circle" in said(pair)


@pytest.mark.parametrize("count", [0, 2])
def test_exactly_one_node_saves(count: int) -> None:
    """N3.3"""
    less = {key: body for key, body in GRAPH.items() if key != "9"}
    saves = {f"save{number}": GRAPH["9"] for number in range(count)}
    assert f"{count} SaveImage nodes" in said({**less, **saves})


def test_samplers_have_a_limit_together() -> None:
    assert "62 steps together" in said({**GRAPH, "x": {**GRAPH["7"], **_steps(42)}})
    assert "no whole number" in said(changed("7", steps="20"))


def _steps(steps: int) -> Node:
    return {"inputs": {**inputs_of(GRAPH["7"]), "steps": steps}}


def test_a_graph_has_a_largest_size() -> None:
    many = {f"x{number}": node("EmptyImage") for number in range(MAX_NODES)}
    assert "the limit is 100" in said({**GRAPH, **many})
    assert "longer than" in said(changed("4", text="a" * 20_000))


def test_a_tighter_policy_is_obeyed() -> None:
    """A2.1: the numbers are the policy's."""
    assert judged(GRAPH, replace(POLICY, max_area=256 * 256))
    assert judged(GRAPH, replace(POLICY, max_steps=10))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
ids = st.sampled_from(["1", "2", "3", "4"])
links = st.tuples(ids, st.integers(-1, 3)).map(list)
keys = st.sampled_from(
    ["width", "height", "batch_size", "vae", "image", "steps", "text", "ckpt_name", "control_net"]
)
bodies = st.builds(
    lambda kind, inputs: {"class_type": kind, "inputs": inputs},
    st.sampled_from([*CORE, "Unknown"]),
    st.dictionaries(keys, values | links, max_size=5),
)


@given(st.dictionaries(ids, bodies, max_size=4))
def test_no_graph_makes_the_judge_fall_over(graph: Mapping[str, Node]) -> None:
    for complaint in judged(graph):
        assert complaint.endswith(".")
