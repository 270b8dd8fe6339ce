"""What is said of a panel's template and hint when it is taken: packs, files, pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace

import pytest

from daemon.core.commands import Reject, Submit
from daemon.core.jobs import PanelSpec
from daemon.ports import Weights
from tests.shell.hostile import GOOD, JOB, NET, SLOTS, Hostile, answer, graph_of, node
from tests.sim.engine import SimWeights

AUX = "comfyui_controlnet_aux"
CKPT = f"custom_nodes/{AUX}/ckpts/yolox_l.torchscript.pt"
POSE = {
    "20": node("DWPreprocessor", image=["21", 0], resolution=512, bbox_detector="yolox_l.onnx"),
    "21": node("LoadImage", image="a.png"),
    "22": node("SaveImage", images=["20", 0]),
}
TABLES = f'[pose_map]\nnode = "22"\n[packs]\nDWPreprocessor = "{AUX}"\n'
EXPORT = replace(
    GOOD, graph=graph_of(POSE), slots=f'needs = ["{CKPT}"]\n{SLOTS}{TABLES}', job=JOB + NET
)


class Lacking(SimWeights):
    """The pack's models were never downloaded."""

    async def has(self, path: str) -> bool:
        return False


def taken(case: Hostile, packs: Collection[str] = ()) -> Submit:
    command = asyncio.run(answer(case, packs=packs))
    assert isinstance(command, Submit), command
    return command


def refused(case: Hostile, packs: Collection[str] = (), weights: Weights | None = None) -> str:
    command = asyncio.run(answer(case, packs=packs, weights=weights))
    assert isinstance(command, Reject), command
    return "\n".join(f"{error.key}: {error.text}" for error in command.errors)


def test_a_maker_s_own_export_with_a_pack_is_taken_where_the_pack_is_allowed() -> None:
    """A4.2"""
    taken(EXPORT, packs=[AUX])


def test_one_whose_pack_is_not_allowed_says_what_to_write_where() -> None:
    """A4.2: and a pack that is allowed does not let another's node in."""
    for packs in ([], ["another"]):
        said = refused(EXPORT, packs=packs)
        assert "Node 20 is a 'DWPreprocessor'" in said
        assert f'under [comfyui]: custom_nodes = {{ "{AUX}" = "where that is said" }}' in said
    undeclared = replace(EXPORT, slots=EXPORT.slots.replace("[packs]", "").replace("DWP", "#"))
    assert "named under [packs]" in refused(undeclared, packs=[AUX])


def test_a_preprocessor_without_its_models_is_refused() -> None:
    """C2.1: it would give an empty conditioning, and say nothing."""
    said = refused(EXPORT, packs=[AUX], weights=Lacking())
    assert f"needs $COMFYUI/{CKPT}, which is not there" in said


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("black.png", "(64x64) is black: its brightest pixel has 0 of 255"),
        (
            "broken.png",
            "cut short. Save the hint again, as a PNG of about the panel's size.",
        ),
    ],
)
def test_a_hint_that_guides_nothing_is_refused(image: str, said: str) -> None:
    """C2.2"""
    found = refused(replace(GOOD, job=JOB + NET.replace("a.png", image)))
    assert said in found
    assert f"controlnet.image: poses/{image}" in found


def test_a_hint_of_another_shape_and_a_strange_controlnet_are_warned_of() -> None:
    """C1.1, C3.1, C3.2: the panel is taken all the same, at strength 0.65."""
    command = taken(replace(GOOD, job=JOB + NET.replace("v11p_sd15_openpose", "strange")))
    strange, shape = command.asked.warnings
    assert "control_strange.safetensors is not among those known for SD 1.5" in strange
    assert "64x64 and the panel 512x768" in shape
    spec = command.asked.spec
    assert isinstance(spec, PanelSpec)
    assert spec.controlnet is not None
    assert spec.controlnet.strength == 0.65
    weak = taken(replace(GOOD, job=f"{JOB}width = 512\nheight = 512\n{NET}strength = 0.3\n"))
    assert ["mostly be ignored" in text for text in weak.asked.warnings] == [True]
