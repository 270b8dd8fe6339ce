"""The face: `explain`, where a picture, a lock or a LoRA comes from, by the ledger alone."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Sequence
from hashlib import file_digest
from pathlib import Path

from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.folded import chronicles
from daemon.cli.revision import first_commit
from daemon.cli.say import aligned, complain, document, local, paint, say
from daemon.cli.tables import Table, decimal, inner, raw, rows, table_in, text, texts, whole
from daemon.wire.phrases import counted, joined
from daemon.wire.png_text import note_of
from daemon.wire.provenance import Chronicle, explained
from daemon.wire.text import visible

_READ_BYTES = 64 * 2**20
"""How much of a file that the ledger does not know is looked into."""


def explain(arguments: Arguments) -> int:
    """Say where the file comes from; 1 when the ledger does not know these bytes."""
    studio, file = place.studio(arguments), Path(arguments.file)
    if not file.is_file():
        raise place.WrongCommand(f"{visible(str(file))} is no file: name one that is there.")
    with file.open("rb") as opened:
        digest = file_digest(opened, "sha256").hexdigest()
    told = chronicles(studio)
    found = explained(digest, told)
    doubt = "" if found else _unknown(file, digest, told)
    found = found or explained(_subject(file), told)
    if found is None:
        raise place.Bad(doubt)
    # Through JSON, so that there are only lists and tables in it.
    story = table_in(json.dumps({**_committed(studio, found), "doubt": doubt}))
    if arguments.json:
        document(story)
    else:
        _tell(story)
    if doubt:
        complain(f"nightpress: {doubt}")
    return 1 if doubt else 0


def _unknown(file: Path, digest: str, told: Sequence[Chronicle]) -> str:
    """What is said of a file whose bytes no line knows."""
    hosts = ", ".join(chronicle.host for chronicle in told) or "none"
    looked = (
        f"No line of this studio's ledgers ({visible(hosts)}) knows {visible(str(file))}, by its "
        f"SHA-256 {digest}: neither as a picture, a checkpoint or a LoRA, nor as a published file "
        "or a request."
    )
    if _subject(file):
        return f"{looked} It is a lock file whose bytes were changed, or another studio's."
    note = note_of(_head(file)) or {}
    if note:
        job = " ".join(filter(None, (text(note, "job"), text(note, "ref"))))
        return (
            f"{looked} It says in itself that it is of {job or text(note, 'panel') or 'a job'}: "
            "then its bytes were changed since (another program saved it again), or it is another "
            "studio's. The published one is in outbox/."
        )
    return looked


def _subject(file: Path) -> str:
    """The hash that a lock file says it is about; '' when it is no lock file."""
    try:
        return raw(inner(tomllib.loads(_head(file).decode()), "subject"), "sha256")
    except (ValueError, RecursionError):
        return ""


def _head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(_READ_BYTES)


def _committed(studio: Path, story: Table) -> Table:
    """The story, with the first commit that has each line which vouches, where there is one."""
    trainings = [_committed(studio, training) for training in rows(story, "trainings")]
    ledger = inner(story, "ledger")
    if not ledger:
        return story
    segment = studio / "ledger" / raw(ledger, "host") / f"{raw(ledger, 'segment')}.jsonl"
    commit, at = first_commit(studio, segment, raw(ledger, "chain"))
    known = {"commit": {"id": commit, "at": at} if commit else None}
    return {**story, **known, **({"trainings": trainings} if "trainings" in story else {})}


def _tell(story: Table) -> None:
    number = whole(story, "image") or whole(story, "step")
    what = {"picture": f"picture {number}", "checkpoint": f"the checkpoint of step {number}"}
    kind = what.get(raw(story, "is"), "a file")
    say(f"{paint(text(story, 'name'), 'bold')}: {kind} of {text(story, 'job')}")
    sections = [("ASKED", _request(inner(story, "request")))]
    if raw(story, "is") == "picture":
        sections += [("DRAWN", _picture(story)), ("MODELS", map(_model, rows(story, "models")))]
    if raw(story, "is") == "checkpoint":
        sections += [("TRAINED", _training(story))]
    sections += [(f"LORA {text(it, 'lora')}", _training(it)) for it in rows(story, "trainings")]
    for title, cells in sections:
        lines = list(aligned(row for row in cells if row[1]))
        if lines:
            say("\n" + "\n".join([paint(title, "bold"), *lines]))
    for job in texts(story, "also"):
        say(f"\nThe same bytes came out of {job} too.")


def _request(request: Table) -> Iterator[Sequence[str]]:
    yield "file", f"{text(request, 'file')}, SHA-256 {text(request, 'sha256')[:12]}"
    yield "accepted", local(raw(request, "accepted_at"))
    yield "ref", text(request, "ref")


def _picture(story: Table) -> Iterator[Sequence[str]]:
    sampler, prompt, hint = (inner(story, key) for key in ("sampler", "prompt", "hint"))
    ways = [text(sampler, key) for key in ("sampler", "scheduler")]
    yield "picture", f"{whole(story, 'image')} of {whole(story, 'images')}, {text(story, 'file')}"
    again, verdict = inner(story, "reproduces"), inner(story, "reproduced")
    yield "again", joined((text(again, "lock"), text(verdict, "verdict")))
    yield "prompt", text(prompt, "positive")
    yield "negative", text(prompt, "negative")
    yield "seed", f"{whole(sampler, 'seed')}, {text(sampler, 'noise')} noise"
    yield "sampler", f"{' '.join(ways)}, {whole(sampler, 'steps')} steps, cfg {sampler['cfg']}"
    yield "size", f"{whole(sampler, 'width')}x{whole(sampler, 'height')}"
    if hint:
        yield "hint", f"{text(hint, 'image')}, SHA-256 {text(hint, 'sha256')[:12]}"
    yield "template", _hashed(inner(story, "template"))
    yield from _engine(inner(story, "engine"))
    yield "verdict", f"{text(story, 'verdict')}, profile {text(story, 'rung') or 'not recorded'}"
    yield from _vouched(story)


def _engine(engine: Table) -> Iterator[Sequence[str]]:
    if not engine:
        yield "engine", "not recorded: release 0.1.0 drew it"
        return
    named = " ".join(filter(None, (text(engine, key) for key in ("name", "version", "commit"))))
    facts = (f"{key} {text(engine, key)}" for key in ("device", "torch", "os"))
    yield "engine", ", ".join((named, *facts))
    yield "arguments", " ".join(texts(engine, "args"))
    yield "nodes", ", ".join(texts(engine, "custom_nodes"))


def _model(model: Table) -> Sequence[str]:
    strength = f"at {decimal(model, 'strength')}" if decimal(model, "strength") else ""
    origin = f"of {text(model, 'job')}" if raw(model, "job") else ""
    name, known = text(model, "name"), text(model, "sha256")[:12]
    return text(model, "role"), name, known, f"{strength} {origin}".strip()


def _training(story: Table) -> Iterator[Sequence[str]]:
    spec, trainer = inner(story, "training"), inner(story, "trainer")
    pictures = counted(len(rows(story, "dataset")), "picture")
    yield "training", f"{text(story, 'job')}, step {whole(story, 'step')} of {whole(spec, 'steps')}"
    yield "loss", decimal(story, "loss")
    yield "trigger", text(spec, "trigger")
    yield "dataset", f"{pictures} of {text(spec, 'dataset')}, hashes with --json"
    yield "file", f"{text(story, 'file')}, SHA-256 {text(story, 'checkpoint_sha256')[:12]}"
    if story.get("prop") is True:
        yield "beware", "A rehearsal's: what was loaded under its name is a stage prop."
    if trainer:
        named = " ".join(filter(None, (text(trainer, key) for key in ("trainer", "commit"))))
        yield "trainer", f"{named}, Python {text(trainer, 'python')}"
    else:
        yield "trainer", "not recorded: release 0.1.0 started it"
    for model in rows(trainer, "models"):
        yield text(model, "role"), _hashed(model)
    yield from _vouched(story)


def _hashed(named: Table) -> str:
    return f"{text(named, 'name')}, SHA-256 {text(named, 'sha256')[:12]}"


def _vouched(story: Table) -> Iterator[Sequence[str]]:
    ledger, commit = inner(story, "ledger"), inner(story, "commit")
    yield "approved", local(raw(story, "approved_at")) if raw(story, "approved_at") else "no"
    where = f"{text(ledger, 'host')}/{text(ledger, 'segment')}.jsonl"
    yield "ledger", f"{where}, seq {whole(ledger, 'seq')}, chain {text(ledger, 'chain')}"
    if commit:
        yield "commit", f"{text(commit, 'id')[:12]} of {local(raw(commit, 'at'))}"
