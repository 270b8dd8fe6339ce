"""What people read of the measurements: the table in the terminal, the JSON, the plot, and
BENCHMARKS.md, which is written from nothing but the JSON files and the docstrings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Plot

from bench._measure import Curve, Figure, Limit, Measured, commit, machine

_HEAD = """# Measurements

`make bench` runs them all, `python -m bench NAME` one. Ours and the baseline run in turns in the
same run, so that whatever else the machine does meets both alike: the ratios are what counts, and
absolute times only where a limit is one. The ratio is the median over the pairs, in brackets its
95 % interval; noise is what the same reckoning says of the baseline against itself. A `+` behind
the commit: it was measured with something that was not committed yet. The samples are in
`bench/results/`.

This page is written by `python -m bench`; what is to be said is said in `bench/`.
"""


def table(measured: Measured) -> str:
    """The figures and curves for a terminal."""
    if measured.skipped:
        return f"  skipped: {measured.skipped}"
    rows: list[tuple[str, ...]] = [("", "ours", "baseline", "ratio (95 %)", "noise", "limit", "")]
    rows += [_cells(figure) for figure in measured.figures]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    lines += [f"  {_curve(curve)}" for curve in measured.curves]
    lines += [f"  {fact}" for fact in measured.facts]
    return "\n".join(lines)


def write_results(folder: Path, name: str, measured: Measured) -> None:
    """``name``.json with every sample, ``name``.svg."""
    folder.mkdir(exist_ok=True)
    told = {
        "schema": 1,
        "name": name,
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}",
        "commit": commit(),
        "machine": machine(),
        "figures": [_figure_json(figure) for figure in measured.figures],
        "curves": [
            {
                "what": curve.what,
                "of": curve.of,
                "unit": curve.unit,
                "sizes": list(curve.sizes),
                "costs": [_short(cost) for cost in curve.costs],
                "remark": curve.remark,
            }
            for curve in measured.curves
        ],
        "facts": list(measured.facts),
    }
    (folder / f"{name}.json").write_text(json.dumps(told, indent=1) + "\n")
    _plot(measured).savefig(folder / f"{name}.svg", metadata={"Date": None})


def write_report(page: Path, folder: Path, names: Sequence[str]) -> None:
    """BENCHMARKS.md from the results that are there of the measurements ``names``."""
    found = [(name, _read(folder / f"{name}.json")) for name in names]
    there = [(name, told) for name, told in found if told is not None]
    missing = [name for name, told in found if told is None]
    parts = [_HEAD, "\n".join(_overview(there))]
    if missing:
        parts.append(f"Not measured yet: {', '.join(missing)}.\n")
    parts += ["\n".join(_section(name, told, folder.name)) for name, told in there]
    page.write_text("\n".join(parts))


def _overview(results: Sequence[tuple[str, Any]]) -> Iterator[str]:
    yield "| what | limit | found | |"
    yield "|---|---|---|---|"
    for name, told in results:
        for figure in _measured(told).figures:
            if figure.limit is not None:
                sign = "kept" if figure.kept else "**not kept**"
                found = _number(figure.judged or 0.0)
                yield f"| [{name}](#{name}): {figure.what} | {_limit(figure)} | {found} | {sign} |"
    yield ""


def _section(name: str, told: Any, results: str) -> Iterator[str]:
    measured, module = _measured(told), import_module(f"bench.{name}")
    yield f"## {name}\n"
    yield _unindented(module.__doc__ or "")
    yield f"\n`python -m bench {name}` · {told['at']} · {told['commit']} · {told['machine']}\n"
    yield "| | ours | baseline | ratio (95 %) | noise | limit | |"
    yield "|---|---|---|---|---|---|---|"
    for figure in measured.figures:
        yield "| " + " | ".join(_cells(figure)) + " |"
    yield ""
    for figure in measured.figures:
        if figure.remark:
            yield f"{figure.what}: {figure.remark}\n"
    for curve in measured.curves:
        yield f"- {_curve(curve)}"
    for fact in measured.facts:
        yield f"- {fact}"
    if measured.curves or measured.facts:
        yield ""
    yield f"![{name}](bench/{results}/{name}.svg)\n"
    tried: str = getattr(module, "TRIED", "")
    if tried:
        yield tried.strip() + "\n"


def _cells(figure: Figure) -> tuple[str, ...]:
    ratio, interval, noise = figure.ratio, figure.interval, figure.noise
    sign = {None: "", True: "kept", False: "NOT KEPT"}[figure.kept]
    return (
        figure.what,
        _spread(figure.ours, figure.unit),
        f"{_spread(figure.baseline, figure.unit)} {figure.against}" if figure.baseline else "",
        f"{ratio:.2f} ({interval[0]:.2f}..{interval[1]:.2f})" if ratio and interval else "",
        f"{100 * noise:.0f} %" if noise is not None else "",
        _limit(figure),
        sign,
    )


def _limit(figure: Figure) -> str:
    limit = figure.limit
    if limit is None:
        return ""
    if limit.of == "ours":
        return f"{limit.bound} {limit.value:g} {figure.unit}"
    more = f" + {figure.allowance:g} {figure.unit}" if figure.allowance else ""
    return f"{limit.bound} {limit.value:g} x{more}"


def _spread(samples: Sequence[float], unit: str) -> str:
    if len(samples) == 1:
        return f"{_number(samples[0])} {unit}"
    low, high = _number(min(samples)), _number(max(samples))
    return f"{_number(median(samples))} {unit} ({low}..{high})"


def _curve(curve: Curve) -> str:
    costs = ", ".join(
        f"{_number(cost)} {curve.unit} at {size:,.0f}"
        for size, cost in zip(curve.sizes, curve.costs, strict=True)
    )
    said = f"{curve.what}: {costs} {curve.of}; exponent {curve.exponent:.2f}"
    return f"{said}. {curve.remark}" if curve.remark else said


def _number(value: float) -> str:
    for least, digits in ((100, 0), (10, 1), (1, 2)):
        if abs(value) >= least:
            return f"{value:,.{digits}f}"
    return f"{value:.2g}"


def _unindented(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())


def _plot(measured: Measured) -> Plot:
    """The ratios, each pair a dot, with their limits; the curves, both scales logarithmic."""
    figures = [figure for figure in measured.figures if figure.baseline]
    shown = [part for part in (bool(figures), bool(measured.curves)) if part]
    mpl.rcParams.update({"svg.hashsalt": "nightpress", "svg.fonttype": "none", "font.size": 9})
    height = max(2.6, 0.45 * len(figures) + 1.0)
    plot = Plot(figsize=(5.2 * max(1, len(shown)), height), layout="constrained")
    axes = iter(plot.subplots(1, max(1, len(shown)), squeeze=False)[0])
    if figures:
        _plot_ratios(next(axes), figures)
    if measured.curves:
        _plot_curves(next(axes), measured.curves)
    if not shown:
        _plot_values(next(axes), measured.figures)
    return plot


def _plot_ratios(axes: Any, figures: Sequence[Figure]) -> None:
    for row, figure in enumerate(reversed(figures)):
        ratios = [one / other for one, other in zip(figure.ours, figure.baseline, strict=True)]
        axes.plot(ratios, [row] * len(ratios), "o", alpha=0.35, markersize=4, color="#3465a4")
        axes.plot([median(ratios)], [row], "|", markersize=16, color="#204a87", mew=2)
        if figure.limit is not None and figure.limit.of == "ratio":
            allowed = figure.limit.value + figure.allowance / median(figure.baseline)
            axes.plot([allowed], [row], "|", markersize=22, color="#cc0000")
    axes.axvline(1.0, color="#888a85", linewidth=0.8)
    axes.set_yticks(range(len(figures)), [figure.what for figure in reversed(figures)])
    axes.set_ylim(-0.7, len(figures) - 0.3)
    axes.set_xlim(left=0)
    axes.set_xlabel("ours / baseline (blue: pairs and median; red: limit)")


def _plot_curves(axes: Any, curves: Sequence[Curve]) -> None:
    for curve in curves:
        label = f"{curve.what} ({curve.unit}; exponent {curve.exponent:.2f})"
        axes.loglog(curve.sizes, curve.costs, "o-", markersize=4, label=label)
    axes.set_xlabel(" / ".join(dict.fromkeys(curve.of for curve in curves)))
    axes.legend(fontsize=7, frameon=False)


def _plot_values(axes: Any, figures: Sequence[Figure]) -> None:
    for row, figure in enumerate(reversed(figures)):
        axes.plot(figure.ours, [row] * len(figure.ours), "o", alpha=0.4, color="#3465a4")
        if figure.limit is not None:
            axes.plot([figure.limit.value], [row], "|", markersize=22, color="#cc0000")
    axes.set_yticks(
        range(len(figures)), [f"{figure.what} ({figure.unit})" for figure in reversed(figures)]
    )
    axes.set_xlim(left=0)


def _figure_json(figure: Figure) -> dict[str, object]:
    limit = figure.limit
    return {
        "what": figure.what,
        "unit": figure.unit,
        "ours": [_short(value) for value in figure.ours],
        "baseline": [_short(value) for value in figure.baseline],
        "against": figure.against,
        "limit": None if limit is None else [limit.of, limit.bound, limit.value],
        "allowance": figure.allowance,
        "ratio": None if figure.ratio is None else _short(figure.ratio),
        "kept": figure.kept,
        "remark": figure.remark,
    }


def _measured(told: Any) -> Measured:
    figures = [
        Figure(
            what=each["what"],
            unit=each["unit"],
            ours=each["ours"],
            baseline=each["baseline"],
            against=each["against"],
            limit=None if each["limit"] is None else Limit(*each["limit"]),
            allowance=each["allowance"],
            remark=each["remark"],
        )
        for each in told["figures"]
    ]
    curves = [Curve(**each) for each in told["curves"]]
    return Measured(figures, curves, facts=told["facts"])


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
