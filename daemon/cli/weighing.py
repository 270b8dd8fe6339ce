"""The face: the machine's memory and hours, and what a job needs of them, as people read it.

Law: what is not known is called unknown, and nothing is said of what nobody looks at.
"""

from __future__ import annotations

from collections.abc import Iterator

from daemon.cli.say import aligned, bar, clock, day_clock, paint
from daemon.cli.tables import Table, inner, raw, rows, sizes, text, whole

_SIGNALS = {
    "memory": "free memory",
    "pressure": "memory pressure",
    "power": "mains or battery",
    "processes": "other programs",
    "users": "other users",
}


def machine_lines(seen: Table) -> Iterator[str]:
    """The machine by status.json: its memory, what is beside us, its hours."""
    memory = inner(seen, "memory")
    if whole(memory, "total_bytes"):
        yield _memory(memory)
        total, free = whole(memory, "total_bytes"), whole(memory, "free_bytes")
        if gauge := memory.get("free_bytes") is not None and bar(total - free, total):
            yield f"  {paint(gauge, 'dim')}"
    for since, signals in _unknown(seen).items():
        names = ", ".join(_SIGNALS.get(signal, signal) for signal in signals)
        yield paint(f"Unknown since {since}: {names}. What is known decides.", "yellow")
    if raw(memory, "code"):
        yield f"{paint(text(memory, 'code'), 'yellow')}: nothing starts. {text(memory, 'text')}"
    if programs := rows(memory, "programs"):
        told = (f"{text(each, 'name')} {_gb(whole(each, 'bytes'))} GB" for each in programs)
        yield f"Large programs beside it: {', '.join(told)}"
    if users := whole(memory, "users"):
        who = "Another user is" if users == 1 else f"{users} other users are"
        yield paint(f"{who} logged in; their programs take memory too.", "yellow")
    windows = inner(seen, "windows")
    for key, name in (("training", "Trainings"), ("panels", "Panels")):
        if hours := _hours(inner(windows, key)):
            yield f"{name}: {hours}"


def sum_lines(
    need: Table, *, reserve_bytes: int, more: tuple[str, int] | None = None
) -> Iterator[str]:
    """What a job needs of the memory, term by term; ``more`` is what others need beside it."""
    correction = ("as measured here", whole(need, "correction_bytes"))
    terms = [*sizes(need, "terms"), *([correction] if correction[1] else [])]
    terms += [("in reserve", reserve_bytes), *([more] if more else [])]
    together = whole(need, "total_bytes") + reserve_bytes + (more[1] if more else 0)
    terms.append(("together", together))
    return aligned((name, f"{size / 2**30:6.2f} GB") for name, size in terms)


def _memory(memory: Table) -> str:
    total = _gb(whole(memory, "total_bytes"))
    if memory.get("free_bytes") is None:
        return f"Memory: unknown how much of {total} GB can be had"
    ours, need = whole(memory, "ours_bytes"), whole(memory, "need_bytes")
    held = f" ({_gb(ours)} with the engine)" if ours else ""
    wanted = (
        f"; the next job needs {_gb(need)} GB and {_gb(whole(memory, 'reserve_bytes'))} in reserve"
        if need
        else ""
    )
    return (
        f"Memory: {_gb(whole(memory, 'free_bytes') + ours)} of {total} GB can be had{held}{wanted}"
    )


def _unknown(seen: Table) -> dict[str, list[str]]:
    """The signals that cannot be read, by since when."""
    found: dict[str, list[str]] = {}
    for each in rows(inner(seen, "memory"), "unknown"):
        since = clock(raw(each, "since"), beside=raw(seen, "at"))
        found.setdefault(since, []).append(text(each, "signal"))
    return found


def _hours(hours: Table) -> str:
    """'' for hours that never end, and where nobody says."""
    if hours.get("open") is True:
        closes = raw(hours, "closes")
        return f"open until {day_clock(closes)}" if closes else ""
    if hours.get("open") is False:
        opens = raw(hours, "opens")
        return f"closed until {day_clock(opens)}" if opens else "closed, and never to open"
    return ""


def _gb(size: int) -> str:
    return f"{size / 2**30:.1f}"
