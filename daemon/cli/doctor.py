"""The face: `doctor`, everything about this machine that would spoil a night, with its remedy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.examining import examined
from daemon.cli.say import document, fitted, paint, say
from daemon.wire import health
from daemon.wire.health import Finding
from daemon.wire.text import visible

_SIGNS = {"bad": "✗", "warn": "!", "unknown": "?", "fine": "✓"}
_COLOURS = {"bad": "red", "warn": "yellow", "unknown": "yellow", "fine": "green"}


def doctor(arguments: Arguments) -> int:
    """Look at everything; 1 when something is bad."""
    findings = asyncio.run(examined(place.studio(arguments)))
    if arguments.json:
        document(health.health_document(findings))
    else:
        for line in _page(findings):
            say(fitted(line))
    return 1 if any(finding.severity == "bad" for finding in findings) else 0


def _page(findings: Sequence[Finding]) -> Iterable[str]:
    """By area, in the order in which they were looked at; the worst of each first."""
    for area in dict.fromkeys(finding.area for finding in findings):
        yield paint(area.capitalize(), "bold")
        own = [finding for finding in findings if finding.area == area]
        for finding in sorted(own, key=lambda each: health.ORDER.index(each.severity)):
            sign = paint(_SIGNS[finding.severity], _COLOURS[finding.severity])
            code = "" if finding.severity == "fine" else f"{finding.code}: "
            yield f"  {sign} {code}{visible(finding.what)}"
            if finding.why:
                yield f"      {visible(finding.why)}"
            if finding.remedy:
                yield f"      → {visible(finding.remedy)}"
    bad, warn, unknown, good = (
        sum(finding.severity == severity for finding in findings) for severity in health.ORDER
    )
    yield f"\n{bad} bad, {warn} to know, {unknown} not seen, {good} fine."
