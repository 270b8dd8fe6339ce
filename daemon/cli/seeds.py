"""The face: `seeds`, the library of seeds that were good, as a table and as a file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from daemon.adapters.disk import StudioDisk
from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.folded import chronicles, own
from daemon.cli.say import aligned, document, local, paint, say
from daemon.cli.tables import Table, decimal, inner, raw, rows, text, whole
from daemon.wire.phrases import counted
from daemon.wire.seeds import here, seed_library, seeds_json


def seeds(arguments: Arguments) -> int:
    """Write the library into the outbox and show it."""
    studio = place.studio(arguments)
    told = chronicles(studio)
    library = seed_library(told, here(told, own(studio)))
    path = f"outbox/seeds-{library['hardware']}.json"
    asyncio.run(StudioDisk(studio).write(path, seeds_json(library), synced=False))
    if arguments.json:
        document(library)
        return 0
    found = rows(library, "seeds")
    for line, row in zip(aligned(map(_row, found)), found, strict=True):
        say(line)
        for more in _more(row):
            say(f"    {more}")
    if not found:
        say("No picture is approved yet: `nightpress approve JOB --image N` makes its seed known.")
    say(f"{counted(len(found), 'seed')} in {path}")
    return 0


def _row(row: Table) -> Sequence[str]:
    sampler = inner(row, "sampler")
    size = f"{whole(sampler, 'width')}x{whole(sampler, 'height')}"
    return (
        f"{text(row, 'job')} {whole(row, 'image')}",
        paint(str(whole(sampler, "seed")), "bold"),
        f"{text(sampler, 'sampler')} {text(sampler, 'scheduler')}",
        f"{whole(sampler, 'steps')} steps cfg {decimal(sampler, 'cfg')} {size}",
        text(sampler, "noise"),
        local(raw(row, "approved_at"))[:16],
    )


def _more(row: Table) -> Iterator[str]:
    loras = [model for model in rows(row, "models") if raw(model, "role") == "lora"]
    models = [f"{text(it, 'name')} at {decimal(it, 'strength')}" for it in loras]
    known = [text(inner(row, "environment"), key) for key in ("name", "version", "device")]
    engine = " ".join(known).strip() or "an engine that was not recorded"
    where = f"{engine} of {text(row, 'host')}"
    yield paint(f"{', '.join([text(row, 'checkpoint'), *models])}; {where}", "dim")
    if row["foreign"]:
        yield f"{paint('foreign', 'yellow')}: {text(row, 'reason')}."
