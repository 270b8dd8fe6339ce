"""What it means to draw a picture again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.core.jobs import Engine
from daemon.craft.picture import PictureDistance
from daemon.craft.reproduction import differences, redrawn, threshold, verdict_of, was_drawn
from daemon.errors import AskerError

ENGINE = Engine(
    name="comfyui",
    version="0.3.64",
    mode="managed",
    args=("--port", "8188", "--fp32-vae"),
    device="mps",
    python="3.12",
    torch="2.4.1",
    os="posix",
    custom_nodes=(),
)
GRAPH = {
    "1": {"class_type": "LoraLoader", "inputs": {"lora_name": "a-0123456789ab.safetensors"}},
    "2": {"class_type": "KSampler", "inputs": {"model": ["1", 0]}},
    "3": {"class_type": "VAEDecode", "inputs": {"samples": ["2", 0]}},
    "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "n/x"}},
    "5": {"class_type": "LoadImage", "inputs": {"image": "old.png"}},
    "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "n/x-map"}},
}


def apart(mean: float, places: int = 0) -> PictureDistance:
    return PictureDistance(mean == 0, mean, places)


@pytest.mark.parametrize(
    ("distance", "calibrated", "verdict"),
    [
        (apart(0.0), None, "identical pixels"),
        (apart(0.1), 0.0, "perceptually equal"),
        (apart(0.4), 0.0, "drifted"),
        (apart(0.4), 0.1, "perceptually equal"),
        (apart(1.9), None, "perceptually equal"),
        (apart(2.1), None, "drifted"),
        (apart(0.1, places=4), None, "perceptually equal"),
        (apart(0.1, places=5), None, "drifted"),
    ],
)
def test_a_verdict_is_by_what_the_machine_repeats(
    distance: PictureDistance, calibrated: float | None, verdict: str
) -> None:
    """S1.1, S1.3: never by the bytes of a file, and stricter where the machine is known."""
    assert verdict_of(distance, calibrated=calibrated) == verdict


def test_a_machine_that_varies_more_is_allowed_more() -> None:
    """S1.2"""
    assert threshold(0.0) < threshold(0.2) < threshold(1.0)


def test_what_differs_is_told_field_by_field_but_for_the_port() -> None:
    """S1.3"""
    now = replace(ENGINE, torch="2.6.0", args=("--port", "9999", "--bf16-vae"), custom_nodes=("p",))
    assert differences(ENGINE, now) == [
        "args: without --fp32-vae",
        "args: with --bf16-vae",
        "torch: 2.4.1 -> 2.6.0",
        "custom_nodes: with p",
    ]
    assert differences(ENGINE, replace(ENGINE, args=("--port", "1", "--fp32-vae"))) == []


def test_the_executed_graph_is_sent_again_but_for_names_that_are_given_anew() -> None:
    bound = redrawn(GRAPH, loras={"a-0123456789ab.safetensors": "a.safetensors"}, hint="new.png")
    changed = {
        (node, key): value
        for node, body in bound.graph.items()
        for key, value in dict(body["inputs"]).items()  # type: ignore[call-overload]
        if value != GRAPH[node]["inputs"][key]  # type: ignore[index]
    }
    assert changed == {("1", "lora_name"): "a.safetensors", ("5", "image"): "new.png"}
    assert (bound.save_node, bound.map_node) == ("4", "6")
    assert "filename_prefix" not in str(bound.graph)
    assert [use.name for use in bound.models] == ["a.safetensors"]


def test_a_graph_that_saves_no_picture_is_refused() -> None:
    with pytest.raises(AskerError, match="saves 0 pictures"):
        redrawn({"5": GRAPH["5"]}, loras={}, hint=None)


@pytest.mark.parametrize(
    ("cached", "drawn"),
    [
        (frozenset(), True),
        (frozenset({"1"}), True),
        (frozenset({"2"}), False),
        (frozenset({"1", "3"}), False),
        (frozenset({"gone"}), True),
        (None, False),
    ],
)
def test_a_cached_sampler_or_decoder_is_no_drawing(
    cached: frozenset[str] | None, drawn: bool
) -> None:
    """S1.3"""
    assert was_drawn(GRAPH, cached) is drawn
