"""``python -m tests.release``: writes the ledger that later releases are to understand.

It is told once, when a release is made: a story in the simulator with a power cut in it, and after
it the events that no story of today leads to.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from daemon import __version__
from daemon.core.events import (
    AttemptEnded,
    AttemptStarted,
    CalibrationMeasured,
    ControlTaken,
    DaemonStopped,
    Entry,
    Event,
    Incident,
    JobAccepted,
    JobEnded,
    JobHeld,
    LedgerRestored,
    LedgerTorn,
    PictureReproduced,
)
from daemon.core.jobs import JobId, ModelFacts, Outcome, Phase
from daemon.core.state import State, fold
from daemon.wire.ledger_line import Head, read_lines, write_line
from tests.sim.scenarios import PANEL, TRAIN, TWO_SEEDS, Drop, Scenario
from tests.sim.story import Fate, tell

LEDGERS = Path(__file__).parent / "ledgers"
CUT_AT = 500
END = b"end = true\n"
DRAWN = b'"type":"result.published","job":"ch01_p003_v1"'
STORY = Scenario(
    (
        Drop("spyke.toml", TRAIN),
        Drop("wide.toml", PANEL.replace(b"width = 64", b"width = 4096")),
        Drop("ch01_p003.toml", TWO_SEEDS, after=b'"type":"job.ended","job":"spyke_v1"'),
        Drop("again.toml", TWO_SEEDS, after=b'"type":"prompt.sent","job":"ch01_p003_v1"'),
        Drop(
            "good.toml",
            b'kind = "approve"\njob = "spyke_v1"\ncheckpoint = 20\n' + END,
            after=DRAWN,
        ),
        Drop("hush.toml", b'kind = "pause"\n' + END, after=b'"type":"lora.installed"'),
        Drop("ch01_p004.toml", PANEL.replace(b"leaping", b"sitting"), after=b'"kind":"pause"'),
        Drop("on.toml", b'kind = "resume"\n' + END, after=b'"job":"ch01_p004_v1"'),
        Drop(
            "stop.toml",
            b'kind = "cancel"\njob = "ch01_p004_v1"\n' + END,
            after=b'"type":"prompt.sent","job":"ch01_p004_v1"',
        ),
        Drop(
            "more.toml",
            b'kind = "retry"\njob = "ch01_p004_v1"\n' + END,
            after=b'"type":"job.ended","job":"ch01_p004_v1"',
        ),
        Drop(
            "pick.toml",
            b'kind = "approve"\njob = "ch01_p003_v1"\nimage = 2\n' + END,
            after=b'"type":"result.published","job":"ch01_p004_v1"',
        ),
    )
)


def summary(state: State, chain: str) -> dict[str, object]:
    """What every later release must make of a ledger: plain values only."""
    return {
        "seq": state.seq,
        "chain": chain,
        "paused": state.paused,
        "rejected": state.rejected,
        "lease": state.lease,
        "queue": list(state.queue),
        "installs": [list(key) for key in state.installs],
        "loras": dict(state.loras),
        "models": {
            f"{role} {name}": model.sha256
            for (role, name), seq in sorted(state.latest.items())
            if isinstance(model := state.recorded[seq], ModelFacts)
        },
        "jobs": {
            job.id: {
                "phase": job.phase.value,
                "code": job.code,
                "attempt": job.attempt,
                "engine": job.engine,
                "files": dict(job.files),
                "approved": list(job.approved),
                "images": {number: image.sha256 for number, image in job.images.items()},
                "checkpoints": {step: made.sha256 for step, made in job.checkpoints.items()},
                "dataset": len(job.dataset),
                "accepted_at": job.accepted_at,
                "changed_at": job.changed_at,
            }
            for job in state.jobs.values()
        },
    }


def rare(accepted: JobAccepted) -> Sequence[Event]:
    """Events that the story does not lead to; one more job for those that need one."""
    job, drawn = JobId("ch01_p009_v1"), JobId("ch01_p003_v1")
    file = replace(accepted.file, name="ch01_p009.toml", sha256="9" * 64, inode=9)
    return (
        replace(accepted, job=job, ref="run-7/ch01/9", file=file),
        JobHeld(job, "DISK_LOW", "9.2 GB are free on the studio's disk, and 10 are needed.", 0),
        AttemptStarted(job, 1, "comfyui", "default", 0, stage=""),
        CalibrationMeasured(
            (31.2, 31.4, 31.1), 0.02, {"device": "mps", "torch": "2.5.1"}, (1.5,) * 19, "good"
        ),
        Incident("WS_SILENT", f"{job}: The engine's socket said nothing for a minute.", job),
        AttemptEnded(job, 1, Outcome.FAILED, "BLACK_OR_GRAY", "The picture is black.", 0, 0.0),
        JobEnded(job, Phase.FAILED, "BLACK_OR_GRAY"),
        ControlTaken("logs", "prune", "", replace(file, name="prune.toml", inode=10)),
        PictureReproduced(drawn, "c" * 64, "perceptually equal", 0.01, ("torch 2.5.1",)),
        LedgerTorn(17, "ledger/press/2026-11.jsonl.torn-2048"),
        LedgerRestored(3, "ledger/press/2026-11.jsonl was replaced by an older version."),
        Incident("ENGINE_TROUBLE", "The engine lost six attempts in a row."),
        DaemonStopped("asked to stop"),
    )


def main() -> int:
    """Write tests/ledgers/<version>/; 1 when that is there already."""
    folder = LEDGERS / __version__
    if folder.exists():
        print(f"{folder} is there; what a release wrote is never changed.", file=sys.stderr)
        return 1
    data = tell(STORY, Fate(seed=1, cut_at=CUT_AT)).ledger()
    lines = data.splitlines()
    segment = f"{json.loads(lines[0])['at'][:7]}.jsonl"
    entries: list[Entry] = list(read_lines(lines, head=Head(), segment=segment))
    panel = next(
        entry.event
        for entry in entries
        if isinstance(entry.event, JobAccepted) and entry.event.kind == "panel"
    )
    for event in rare(panel):
        last = entries[-1]
        head = Head(last.seq, last.chain, last.segment)
        entry, line = write_line(event, at=last.at + 1000, head=head)
        entries.append(entry)
        data += line
    folder.mkdir()
    (folder / segment).write_bytes(data)
    told = summary(fold(entries), entries[-1].chain)
    (folder / "state.json").write_text(json.dumps(told, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
