"""What a campaign can be told on its command line."""

from __future__ import annotations

import secrets
from collections import Counter

import pytest

COLUMNS = ("indices", "histories", "lives", "violations")
WINDOWS = (
    *("changes of clocks", "different stretches of a day", "minutes asked"),
    *("answers compared", "differences"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--times", type=int, default=50, help="kill: how many moments")
    parser.addoption(
        "--studios", type=int, default=1, help="kill: among how many studios they are dealt out"
    )
    parser.addoption(
        "--seed", type=int, default=secrets.randbelow(2**32), help="kill: what chooses the moments"
    )
    parser.addoption("--seeds", type=int, default=1, help="crash: how often each step is cut")


@pytest.fixture
def seeds(request: pytest.FixtureRequest) -> int:
    """How many histories there are of each single cut."""
    return int(request.config.getoption("--seeds"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """crash: one table of what every worker has seen; windows: one line of it."""
    rows: dict[str, Counter[str]] = {}
    zones = [0] * len(WINDOWS)
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, told in report.user_properties:
            if name == "crash":
                row, *counts = told
                for each in (row, "total"):
                    rows.setdefault(each, Counter()).update(dict(zip(COLUMNS, counts, strict=True)))
            if name == "windows":
                zones = [sum(pair) for pair in zip(zones, told, strict=True)]
    if any(zones):
        counted = (f"{count:,} {what}" for what, count in zip(WINDOWS, zones, strict=True))
        terminalreporter.write_line(", ".join(counted))
    if rows:
        rows["total"] = rows.pop("total")
        terminalreporter.write_line(f"{'scenario':32}" + "".join(f"{c:>12}" for c in COLUMNS))
    for row, seen in rows.items():
        cells = "".join(f"{seen[column]:>12,}" for column in COLUMNS)
        terminalreporter.write_line(f"{row:32}{cells}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a studio, so that `-n` kills in several at once."""
    if "studio_number" in metafunc.fixturenames:
        metafunc.parametrize("studio_number", range(metafunc.config.getoption("--studios")))
