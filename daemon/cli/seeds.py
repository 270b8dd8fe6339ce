"""The face: `seeds`, the library of seeds that were good, as a table and as a file."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from daemon.adapters.disk import StudioDisk
from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.folded import chronicles, own
from daemon.cli.say import aligned, document, local, paint, say
from daemon.cli.tables import Table, inner, raw, rows, text, whole
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
    for line in aligned(map(_row, found)):
        say(line)
    for row in found:
        if row["foreign"]:
            say(f"{paint('foreign', 'yellow')}: {_which(row)}: {text(row, 'reason')}.")
    if not found:
        say("No picture is approved yet: `nightpress approve JOB --image N` makes its seed known.")
    say(f"{counted(len(found), 'seed')} in {path}")
    return 0


def _row(row: Table) -> Sequence[str]:
    sampler, environment = inner(row, "sampler"), inner(row, "environment")
    loras = [model for model in rows(row, "models") if raw(model, "role") == "lora"]
    drawn = f"{whole(sampler, 'steps')} steps, cfg {sampler['cfg']}"
    size = f"{whole(sampler, 'width')}x{whole(sampler, 'height')}"
    models = [text(row, "checkpoint"), *(f"{text(it, 'name')} {it['strength']}" for it in loras)]
    engine = " ".join(text(environment, key) for key in ("name", "version", "device"))
    return (
        _which(row),
        paint(str(whole(sampler, "seed")), "bold"),
        f"{text(sampler, 'sampler')} {text(sampler, 'scheduler')}",
        f"{drawn}, {size}",
        paint("foreign", "yellow") if row["foreign"] else text(sampler, "noise"),
        engine,
        local(raw(row, "approved_at")),
        ", ".join(models),
    )


def _which(row: Table) -> str:
    return f"{text(row, 'job')} {whole(row, 'image')}"
