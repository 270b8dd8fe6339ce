"""ControlNets by name, and hints by their numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.craft.controlnets import KNOWN, hint_fault, net_doubt, shape_doubt
from daemon.craft.picture import PictureStats
from tests.sim.engine import SimPixels
from tests.virtual_time import run

POSE = replace(run(SimPixels().measure(b"IEND")), width=512, height=768)


@pytest.mark.parametrize(
    "name",
    [
        "control_v11p_sd15_openpose.safetensors",
        "control_v11f1p_sd15_depth_fp16.safetensors",
        "sd15/control_v11p_sd15_canny_fp16.safetensors",
        "Control_V11p_sd15_lineart.safetensors",
        "control_v11p_sd15_scribble.safetensors",
        "t2iadapter_openpose_sd14v1.safetensors",
    ],
)
def test_the_known_ones_are_known_by_their_files(name: str) -> None:
    """C1.1: openpose, depth (f1p), canny, lineart, scribble, and the T2I-Adapters."""
    assert net_doubt(name) == ""


def test_an_unknown_one_and_one_that_wants_a_mask_are_warned_of() -> None:
    """C1.1"""
    assert "723 MB" in net_doubt("control_sdxl_openpose.safetensors")
    for name in ("control_v11p_sd15_inpaint.safetensors", "my-Inpaint.safetensors"):
        assert "wants a mask" in net_doubt(name)
    assert not any("inpaint" in name for name in KNOWN)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"high": 16, "mean": 0.0, "spread": 16}, "is black: its brightest pixel has 16 of 255"),
        ({"spread": 10, "mean": 128.0}, "is a plane of one colour (mean luminance 128 of 255)"),
        ({"one_colour": 0.9999}, "is a plane of one colour"),
    ],
)
def test_a_hint_with_nothing_on_it_guides_nothing(changes: dict[str, float], said: str) -> None:
    """C2.2: empty, black or uniform."""
    empty: PictureStats = replace(POSE, **changes)  # type: ignore[arg-type]
    assert said in hint_fault(empty)


def test_a_thin_skeleton_on_black_is_a_hint() -> None:
    """C2.2: 99.5 % of it is one colour."""
    assert hint_fault(replace(POSE, mean=1.2, one_colour=0.995)) == ""


def test_a_hint_of_another_shape_is_warned_of_with_both_sizes() -> None:
    assert shape_doubt(POSE, width=512, height=768) == ""
    assert shape_doubt(replace(POSE, width=1024, height=1536), width=512, height=768) == ""
    assert shape_doubt(replace(POSE, width=1000, height=1496), width=512, height=768) == ""
    doubt = shape_doubt(POSE, width=768, height=512)
    assert "512x768" in doubt
    assert "768x512" in doubt
