"""Wire room: loss.svg, the loss of a training to look at, for light and dark screens.

Law: it shows no more than loss.csv has, and a screen reader is told what the eye sees.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

Row = tuple[int, int, float]
"""True step, epoch, average loss: a row of loss.csv."""

_WIDTH, _HEIGHT = 960, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 904, 72, 380
_MOST_LABELS = 10
# What is beyond it is as good as no number, and what is below it as good as 0.
_LARGEST, _SMALLEST = 1e9, 1e-9
_STYLE = """\
svg{--paper:#fff;--ink:#1b1b1b;--faint:#dcdcdc;--soft:#5c5c5c;--line:#0b62b0}
@media(prefers-color-scheme:dark){
svg{--paper:#16181b;--ink:#ededed;--faint:#3a3d42;--soft:#a9adb3;--line:#6bb5ff}}
text{font:14px system-ui,sans-serif;fill:var(--soft)}
.head{font-size:20px;fill:var(--ink)}
.paper{fill:var(--paper)}
.rule{stroke:var(--faint);fill:none}
.loss{stroke:var(--line);stroke-width:2;stroke-linejoin:round;fill:none}
.end{fill:var(--line);stroke:var(--paper);stroke-width:2}"""
_ADVICE = "Each epoch's end is a checkpoint. Choose by its pictures: a low loss makes no good LoRA."


def loss_svg(job: str, rows: Iterable[Row]) -> bytes:
    """The drawing of ``job``'s loss.csv, whose rows are in order of steps."""
    told = list(rows)
    spoken = _spoken(told)
    body = "\n".join(_body(told))
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" \
aria-labelledby="title desc">
<title id="title">Loss of {job}</title>
<desc id="desc">{spoken}</desc>
<style>
{_STYLE}
</style>
<rect class="paper" width="{_WIDTH}" height="{_HEIGHT}"/>
<text class="head" x="{_LEFT}" y="36">Loss of {job}: running average by step</text>
{body}
<text x="{_LEFT}" y="{_HEIGHT - 42}">{spoken}</text>
<text x="{_LEFT}" y="{_HEIGHT - 18}">{_ADVICE}</text>
</svg>
""".encode("ascii")


def _body(rows: Sequence[Row]) -> Iterator[str]:
    finite = [loss for _, _, loss in rows if _is_number(loss)]
    if not finite:
        return
    spacing = _spacing(max(finite))
    top = spacing * max(1, math.ceil(max(finite) / spacing))
    last = rows[-1][0]

    def x(step: int) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * step / last, 1)

    def y(loss: float) -> float:
        return round(_BOTTOM - (_BOTTOM - _TOP) * max(loss, 0.0) / top, 1)

    for number in range(round(top / spacing) + 1):
        level = number * spacing
        yield f'<path class="rule" d="M{_LEFT} {y(level)}H{_RIGHT}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y(level) + 5}" text-anchor="end">{level:.4g}</text>'
    ends = list({epoch: (step, epoch, loss) for step, epoch, loss in rows}.values())
    # Counted from the last, whose label is never left out.
    labelled = ends[:: -math.ceil(len(ends) / _MOST_LABELS)]
    for step, epoch, _ in ends:
        yield f'<path class="rule" d="M{x(step)} {_TOP}V{_BOTTOM}"/>'
        if (step, epoch) in {each[:2] for each in labelled}:
            yield f'<text x="{x(step)}" y="{_BOTTOM + 20}" text-anchor="middle">{step}</text>'
            yield f'<text x="{x(step)}" y="{_TOP - 8}" text-anchor="middle">epoch {epoch}</text>'
    yield f'<text x="{_LEFT - 8}" y="{_BOTTOM + 20}" text-anchor="end">step</text>'
    for part in _unbroken(rows):
        line = "L".join(f"{x(step):g} {y(loss):g}" for step, loss in part)
        yield f'<path class="loss" d="M{line}"/>'
    for step, epoch, loss in ends:
        if _is_number(loss):
            yield f'<circle class="end" cx="{x(step)}" cy="{y(loss)}" r="5">'
            yield f"<title>step {step}, epoch {epoch}: {loss:.4g}</title></circle>"


def _is_number(loss: float) -> bool:
    return math.isfinite(loss) and abs(loss) < _LARGEST


def _unbroken(rows: Iterable[Row]) -> Iterator[Sequence[tuple[int, float]]]:
    """The stretches in which the loss is a number."""
    part: list[tuple[int, float]] = []
    for step, _, loss in rows:
        if _is_number(loss):
            part.append((step, loss))
        elif part:
            yield part
            part = []
    if part:
        yield part


def _spacing(largest: float) -> float:
    """Between the levels: 1, 2 or 5 times a power of ten, and at most six of them."""
    if largest < _SMALLEST:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(largest / 5))
    return next(unit * times for times in (1, 2, 5, 10) if unit * times * 6 >= largest)


def _spoken(rows: Sequence[Row]) -> str:
    """What the drawing shows, in sentences."""
    finite = [row for row in rows if _is_number(row[2])]
    if not finite:
        return "There is no step with a loss that is a number."
    (first, _, begun), (step, epoch, ended) = finite[0], finite[-1]
    least = min(finite, key=lambda row: row[2])
    told = [
        f"{begun:.3g} at step {first}, {ended:.3g} at step {step} in epoch {epoch};",
        f"least {least[2]:.3g} at step {least[0]}.",
    ]
    broken = next((row[0] for row in rows if not _is_number(row[2])), None)
    if broken is not None:
        told.append(f"At step {broken} it was not a number.")
    return " ".join(told)
