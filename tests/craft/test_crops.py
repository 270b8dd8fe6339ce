"""Where a sheet is cut, and the captions that pictures begin with."""

from __future__ import annotations

import pytest

from daemon.craft.crops import (
    MOST,
    Area,
    Sheet,
    caption_of,
    framing,
    proposed,
    skeleton,
    too_small,
)

FIGURE, HEAD = Area(0, 0, 600, 1500), Area(700, 0, 500, 500)


@pytest.mark.parametrize(
    ("size", "shows"),
    [((600, 1500), "full body"), ((600, 800), "upper body"), ((600, 600), "face")],
)
def test_the_shape_of_a_box_tells_what_it_mostly_shows(size: tuple[int, int], shows: str) -> None:
    assert framing(Area(0, 0, *size)) == shows


def test_large_figures_are_cut_twice_until_there_are_enough() -> None:
    """K4.2: six and more, of the whole and of the upper body."""
    crops = proposed(Sheet(4000, 2000, [FIGURE, HEAD, FIGURE, FIGURE, FIGURE]), stem="sheet")
    assert [crop.name for crop in crops] == [
        "sheet_full_body_1",
        "sheet_face_1",
        "sheet_full_body_2",
        "sheet_full_body_3",
        "sheet_full_body_4",
        "sheet_upper_body_1",
    ]
    assert crops[-1].area == Area(0, 0, 600, 750)


def test_a_small_figure_is_not_cut_twice_and_is_said_to_be_small() -> None:
    """K4.2."""
    small = Area(0, 0, 400, 1500)
    assert too_small(proposed(Sheet(4000, 2000, [small, FIGURE]), stem="s"))[0].area == small
    assert [c.area.width for c in proposed(Sheet(4000, 2000, [small]), stem="s")] == [400]


def test_of_many_parts_the_largest_are_proposed_in_their_order() -> None:
    """D1.1."""
    areas = [Area(0, number, 100 + number % 13, 100) for number in range(26)]
    crops = proposed(Sheet(4000, 2000, areas), stem="s")
    assert len(crops) == MOST
    assert [crop.area.y for crop in crops] == sorted(crop.area.y for crop in crops)
    assert min(crop.area.width for crop in crops) >= 108


def test_a_sheet_that_nothing_parts_is_proposed_whole() -> None:
    assert [crop.area for crop in proposed(Sheet(900, 800, []), stem="s")] == [Area(0, 0, 900, 800)]


def test_a_caption_begins_as_a_skeleton_with_its_trigger_and_framing() -> None:
    """K5.3."""
    assert skeleton("TRIGGER", "face") == "TRIGGER, FEATURES, face, POSE, BACKGROUND"


@pytest.mark.parametrize(
    ("prompt", "caption"),
    [
        ("spyke, (white cloak:1.2), rain", "spyke, white cloak, rain"),
        ("((spyke)), embedding:good-hands, \n rain,,", "spyke, rain"),
        (r"spyke \(oc\), (rain: 0.9)", "spyke (oc), rain"),
    ],
)
def test_a_prompt_becomes_a_caption_of_one_line_without_weights(prompt: str, caption: str) -> None:
    assert caption_of(prompt) == caption
