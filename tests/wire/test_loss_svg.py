"""loss.svg, drawn from the rows of loss.csv."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree as Xml

from hypothesis import given
from hypothesis import strategies as st

from daemon.wire.loss_svg import loss_svg

SVG = "{http://www.w3.org/2000/svg}"
ROWS = [(step, -(-step // 4), 1 / step) for step in range(1, 13)]


def drawn(rows: list[tuple[int, int, float]]) -> Xml.Element:
    return Xml.fromstring(loss_svg("spyke_v1", rows))  # noqa: S314  # It is our own.


def texts(svg: Xml.Element, tag: str = "text") -> list[str]:
    return [each.text or "" for each in svg.iter(SVG + tag)]


def test_every_epochs_end_has_its_step_and_its_point() -> None:
    """D2.2, D2.4: the steps are those of the checkpoints' names."""
    svg = drawn(ROWS)
    assert {"epoch 1", "epoch 2", "epoch 3", "4", "8", "12"} <= set(texts(svg))
    assert texts(svg, "title")[1:] == [
        "step 4, epoch 1: 0.25",
        "step 8, epoch 2: 0.125",
        "step 12, epoch 3: 0.08333",
    ]
    [line] = [each.get("d") or "" for each in svg.iter(SVG + "path") if each.get("class") == "loss"]
    points = [tuple(map(float, point.split())) for point in line[1:].split("L")]
    assert len(points) == len(ROWS)
    assert points == sorted(points), "it goes right, and a falling loss goes down"


def test_a_screen_reader_is_told_what_the_eye_sees() -> None:
    svg = drawn([*ROWS, (13, 4, math.nan), (14, 4, 0.5)])
    assert svg.get("role") == "img"
    assert svg.get("aria-labelledby") == "title desc"
    [told] = texts(svg, "desc")
    assert told == (
        "1 at step 1, 0.5 at step 14 in epoch 4; least 0.0833 at step 12."
        " At step 13 it was not a number."
    )
    assert told in texts(svg)


def test_a_loss_that_is_no_number_breaks_the_line() -> None:
    """N4.2"""
    svg = drawn([*ROWS[:5], (6, 2, math.nan), *ROWS[6:]])
    lines = [each for each in svg.iter(SVG + "path") if each.get("class") == "loss"]
    assert [(each.get("d") or "").count("L") + 1 for each in lines] == [5, 6]


def test_it_follows_the_screen_into_the_dark_and_fetches_nothing() -> None:
    text = loss_svg("spyke_v1", ROWS).decode()
    assert "prefers-color-scheme:dark" in text
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<script|href|url\(|@import", text)


@given(
    st.lists(st.floats() | st.sampled_from([0.0, 1e-320, 1.7e308, -1e300, math.inf]), max_size=300),
    st.integers(1, 40),
)
def test_any_rows_make_a_drawing_inside_of_its_frame(losses: list[float], every: int) -> None:
    """Text of a trainer is not trusted to be sensible."""
    svg = drawn([(step, -(-step // every), loss) for step, loss in enumerate(losses, start=1)])
    _, _, width, height = map(float, (svg.get("viewBox") or "").split())
    for path in svg.iter(SVG + "path"):
        if path.get("class") == "loss":
            for point in (path.get("d") or "")[1:].split("L"):
                x, y = map(float, point.split())
                assert 0 < x < width
                assert 0 < y < height
    labels = [text for text in texts(svg) if text.startswith("epoch ")]
    assert len(labels) <= 10
    assert not losses or not labels or f"epoch {-(-len(losses) // every)}" in labels
