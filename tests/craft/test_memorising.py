"""What the checkpoints draw, held against what they were trained on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.core.stages import UNRELATED
from daemon.craft.memorising import Drawn, familiar_prompts, kind_of, nearest, sights

ZERO = "0" * 16
CAPTION = "spyke_plasma_v1, white cloak, standing, full body"
NOVEL = "spyke_plasma_v1, running, side view"
OTHER = "spyke_plasma_v1, sitting, night"
TRAINING = {"a.png": ZERO, "b.png": "f" * 16}


def away(places: int) -> str:
    """A hash so many places from ``ZERO``."""
    return f"{(1 << places) - 1:016x}"


def far(places: int) -> str:
    """The same, with the places at the other end."""
    return f"{((1 << places) - 1) << (64 - places):016x}"


@pytest.mark.parametrize(
    ("places", "mark"), [(0, "same"), (4, "same"), (5, "near"), (10, "near"), (11, "")]
)
def test_a_picture_is_marked_by_its_nearest_training_image(places: int, mark: str) -> None:
    """D2.5"""
    found = nearest(away(places), TRAINING)
    assert found is not None
    assert (found.image, found.places, found.mark) == ("a.png", places, mark)


def test_without_pictures_or_training_images_nothing_is_said() -> None:
    assert nearest("", TRAINING) is None
    assert nearest(ZERO, {}) is None
    [sight] = sights([Drawn(198, NOVEL, 1)], TRAINING, [])
    assert (sight.pictures, sight.code, sight.lines) == (0, "", ["Nothing to compare it with."])


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        (CAPTION, "training"),
        ("Spyke_plasma_v1,  White  cloak,", "training"),
        ("standing, full body, spyke_plasma_v1, rain", "training"),
        ("spyke_plasma_v1", "trigger"),
        (NOVEL, "novel"),
        ("standing, rain, full body, night", "novel"),
        (UNRELATED, "unrelated"),
    ],
)
def test_a_prompt_is_familiar_when_one_caption_has_nearly_all_of_it(prompt: str, kind: str) -> None:
    """D2.5"""
    assert kind_of(prompt, [OTHER, CAPTION]) == kind


def test_the_prompts_of_the_training_are_taken_from_all_over_the_dataset() -> None:
    captions = {f"{number:02}.png": f"caption {number // 2}" for number in reversed(range(12))}
    assert familiar_prompts(captions, count=2) == ["caption 0", "caption 3"]
    assert familiar_prompts({"a.png": "one", "b.png": ""}, count=3) == ["one"]
    assert familiar_prompts({}) == []


def test_each_checkpoint_gets_its_numbers() -> None:
    """D2.3, D2.5"""
    drawn = [
        Drawn(396, CAPTION, 1, away(8)),
        Drawn(396, OTHER, 2, far(12)),
        Drawn(396, NOVEL, 1, away(14)),
        Drawn(396, OTHER, 1, far(12)),
        Drawn(198, NOVEL, 1, away(20)),
    ]
    first, second = sights(drawn, TRAINING, [CAPTION])
    assert (first.step, first.pictures, first.familiar, first.novel) == (198, 1, None, 20)
    assert (second.same, second.near, second.closest) == (0, 1, nearest(away(8), TRAINING))
    assert (second.familiar, second.novel, second.apart) == (8, 38 / 3, 26)
    assert second.lines == [
        "Of 4 pictures, 0 same, 1 near.",
        "Closest: 8 of 64 from a.png.",
        "Training prompts 8 away, novel 13.",
    ]


@pytest.mark.parametrize(
    ("familiar", "novel", "other", "code"),
    [
        (away(20), away(25), far(25), ""),
        (away(4), away(25), far(25), "MEMORISED"),
        (away(20), away(3), far(25), "MEMORISED"),
        (away(12), away(20), far(20), "OVERFIT"),
        (away(13), away(20), far(20), ""),
        (away(20), away(20), away(30), "LORA_POSE"),
        (away(20), away(20), away(31), ""),
    ],
)
def test_what_speaks_for_overfit_is_said_and_no_checkpoint_is_chosen(
    familiar: str, novel: str, other: str, code: str
) -> None:
    """D2.3, D2.5: training images again, one pose for all, deaf to prompts that are no captions."""
    told = {CAPTION: familiar, NOVEL: novel, OTHER: other}
    drawn = [Drawn(990, prompt, 1, each) for prompt, each in told.items()]
    [sight] = sights(drawn, {"a.png": ZERO}, [CAPTION])
    assert sight.code == code
    assert len(sight.lines) == (4 if code else 3)
    bare = [replace(each, step=0) for each in drawn]
    _, sight = sights([*bare, *drawn], {"a.png": ZERO}, [CAPTION])
    assert sight.code == "", "the base alone draws so too: that is not the LoRA's doing"


def test_a_character_that_comes_without_its_trigger_is_said() -> None:
    """K6.2: the unrelated prompt with the LoRA, against the same without it."""
    bare = [Drawn(0, UNRELATED, seed, far(20)) for seed in (1, 2)]
    quiet = [Drawn(198, UNRELATED, seed, far(22 + seed)) for seed in (1, 2, 3)]
    loud = [Drawn(396, UNRELATED, 1, away(9)), Drawn(396, UNRELATED, 2, far(20))]
    base, first, second = sights([*bare, *quiet, *loud], {"a.png": ZERO}, [CAPTION])
    assert (base.drift, base.code) == (0, "")
    assert (first.drift, first.code) == (3.5, "")
    assert (second.drift, second.code) == (14.5, "TRIGGER_BLEED")
    assert (second.novel, second.apart, second.familiar) == (None, None, None)
    assert second.text.endswith("prompt by 14. The character comes without its trigger.")
