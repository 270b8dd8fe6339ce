"""A ledger with every type of event in it, which folds: what damage is tried on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from daemon.core.events import (
    CalibrationMeasured,
    ControlTaken,
    DaemonStopped,
    Entry,
    Event,
    Incident,
    JobDuplicate,
    JobHeld,
    LedgerRestored,
    LedgerTorn,
    PictureReproduced,
)
from daemon.core.jobs import JobId
from daemon.core.tools import EngineRecorded, ModelRecorded, TrainerRecorded
from daemon.wire.ledger_line import Head, write_line
from tests.cli.studio import drawn, failed, refusal, started, taken, trained, whole_story
from tests.core.asking import ENGINE, TRAINER
from tests.desk import EPOCH_MS
from tests.examples import FILE

LENGTH = 64
JOB = JobId("ch01_p003_v1")
DAMAGED = "ledger/mac/2026-11.jsonl"


def events() -> Sequence[Event]:
    """``LENGTH`` events that could have happened."""
    told = [
        started(),
        ModelRecorded(
            "checkpoint", "a.safetensors", "a" * 64, 2_132_625_894, "F16", {"unet": 859_520_964}
        ),
        CalibrationMeasured((12.5, 12.25, 12.75), 0.0, {"device": "mps", "torch": "2.9.0"}),
        *whole_story(),
        JobDuplicate(JOB, FILE),
        PictureReproduced(JOB, "b" * 64, "drifted", 0.125, ("torch: 2.8.0, now 2.9.0",)),
        *refusal(FILE),
        *taken("ch02"),
        JobHeld(JobId("ch02_v1"), "ENGINE_MISSING", "The engine is not there: \u795e.", 0),
        *drawn("ch02"),
        *taken("ch03"),
        *failed("ch03"),
        ControlTaken("ch09_v1", "cancel", "There is no such job.", FILE),
        ControlTaken("", "pause", "", FILE),
        *trained(),
        EngineRecorded(**asdict(ENGINE)),
        TrainerRecorded(JobId("spyke_v1"), 2, **{**asdict(TRAINER), "models": (2,)}),
        LedgerTorn(17, f"{DAMAGED}.torn-400"),
        LedgerRestored(2, "It was replaced by an older version."),
        DaemonStopped("asked to"),
    ]
    more = [Incident("NOTE", f"Number {number}.") for number in range(LENGTH - len(told))]
    return [*told, *more]


def written(happened: Sequence[Event], *, at: int = EPOCH_MS) -> tuple[list[Entry], list[bytes]]:
    """Its entries, and its lines with their newlines, a second apart."""
    head, entries, lines = Head(), list[Entry](), list[bytes]()
    for number, event in enumerate(happened):
        entry, line = write_line(event, at=at + 1000 * number, head=head)
        head = Head(entry.seq, entry.chain, entry.segment)
        entries.append(entry)
        lines.append(line)
    return entries, lines


ENTRIES, LINES = written(events())
HEADS = [Head(), *(Head(each.seq, each.chain, each.segment) for each in ENTRIES)]
"""Where it stands before each line, and after the last."""
