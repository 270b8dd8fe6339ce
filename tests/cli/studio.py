"""A studio on the real disk for tests of the command line, with a ledger that they write."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from time import sleep

from daemon.core.events import (
    AttemptEnded,
    AttemptStarted,
    CheckpointSaved,
    ControlTaken,
    DaemonStarted,
    DatasetRecorded,
    Event,
    JobAccepted,
    JobApproved,
    JobEnded,
    JobRejected,
    LoraInstalled,
    PromptSent,
    ResultPublished,
)
from daemon.core.jobs import (
    Complaint,
    Engine,
    FileFacts,
    JobId,
    LoraUse,
    ModelFacts,
    Outcome,
    PanelSpec,
    Phase,
)
from daemon.core.tools import EngineRecorded, ModelRecorded
from daemon.wire.ledger_line import Head, write_line
from tests.core.asking import DATASET, TRAIN
from tests.examples import FILE, ONE_SEED, REQUEST, accepted, judged

AT = 1_795_000_000_000
MONTH = "2026-11"


class StudioFiles:
    """A studio's folder and the pen that writes its ledger."""

    def __init__(self, root: Path, *, host: str = "mac") -> None:
        self.root = root
        self.host = host
        self.head = Head()
        for name in ("inbox", "outbox", f"ledger/{host}", ".nightpress"):
            (root / name).mkdir(parents=True, exist_ok=True)

    @property
    def segment(self) -> Path:
        return self.root / "ledger" / self.host / f"{MONTH}.jsonl"

    def write(self, *events: Event) -> None:
        """Append events to the ledger, a second apart."""
        for event in events:
            entry, line = write_line(event, at=AT + 1000 * self.head.seq, head=self.head)
            self.head = Head(entry.seq, entry.chain, entry.segment)
            with self.segment.open("ab") as file:
                file.write(line)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """As if a daemon were alive."""
        fd = os.open(self.root / ".nightpress" / "guard", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    @contextmanager
    def answering(self, answer: object) -> Iterator[None]:
        """As if a daemon were alive that answers files in the inbox by ``answer(facts, data)``."""
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                for path in sorted((self.root / "inbox").glob("[!.]*.toml")):
                    data, stat = path.read_bytes(), path.stat()
                    digest = sha256(data).hexdigest()
                    facts = FileFacts(
                        path.name, digest, stat.st_ino, stat.st_mtime_ns, stat.st_size
                    )
                    path.unlink()
                    assert callable(answer)
                    self.write(*answer(facts, data))
                sleep(0.01)

        with self.guarded():
            thread = threading.Thread(target=work)
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join()


def whole_story(name: str = "ch01_p003", *, file: FileFacts | None = None) -> list[Event]:
    """A panel with one picture, from its acceptance to its end."""
    return [*taken(name, file=file), *drawn(name)]


def taken(name: str = "ch01_p003", *, file: FileFacts | None = None) -> list[Event]:
    first = accepted(name, spec=ONE_SEED)
    if file is None:
        return [first]
    return [
        JobAccepted(
            first.job, "panel", "", 0, file, first.request, first.spec, ("strength 0.95 is high",)
        )
    ]


def drawn(name: str = "ch01_p003") -> list[Event]:
    job = JobId(f"{name}_v1")
    return [
        AttemptStarted(job, 1, "comfyui", "default", 0, stage=""),
        PromptSent(job, 1, 1, "0f0f0f0f-0000-0000-0000-000000000000"),
        judged(job, sha256="c" * 64, scores={"mean": 0.5}),
        AttemptEnded(job, 1, Outcome.SUCCEEDED, "", "", 0, 0.0),
        ResultPublished(job, {f"{job}.png": "c" * 64}),
        JobEnded(job, Phase.PUBLISHED, ""),
    ]


def failed(name: str = "ch01_p003") -> list[Event]:
    """The end of a job whose pictures were black."""
    job = JobId(f"{name}_v1")
    return [
        AttemptStarted(job, 1, "comfyui", "default", 0, stage=""),
        AttemptEnded(job, 1, Outcome.FAILED, "BLACK_OR_GRAY", "mean 0.0", 0, 0.0),
        JobEnded(job, Phase.FAILED, "BLACK_OR_GRAY"),
    ]


def training(name: str = "spyke") -> list[Event]:
    """A training that was lost after its first epoch and trains its second."""
    job = JobId(f"{name}_v1")
    pictures = tuple((image.name, image.sha256, image.caption_sha256, "") for image in DATASET)
    return [
        JobAccepted(job, "train", "", 0, FILE, REQUEST, TRAIN, ()),
        DatasetRecorded(job, pictures),
        AttemptStarted(job, 1, "comfyui", "default", 0, stage=""),
        CheckpointSaved(job, 198, "1" * 64, 0.123456, 1, 9, "mps", 0.0),
        AttemptEnded(job, 1, Outcome.LOST, "MACHINE_RESTARTED", "It was restarted.", 0, 0.0),
        AttemptStarted(job, 2, "comfyui", "default", 0, stage=""),
    ]


def trained(name: str = "spyke") -> list[Event]:
    """The same, to its approved end."""
    job = JobId(f"{name}_v1")
    return [
        *training(name),
        CheckpointSaved(job, 396, "2" * 64, 0.1, 2, 9, "mps", 0.0),
        AttemptEnded(job, 2, Outcome.SUCCEEDED, "", "", 0, 0.0),
        ResultPublished(job, {"checkpoints/spyke_v1-000396.safetensors": "2" * 64}),
        JobEnded(job, Phase.PUBLISHED, ""),
        JobApproved(job, 0, 396),
        LoraInstalled(job, "spyke_v1-000396.safetensors", "2" * 64),
    ]


def refusal(file: FileFacts, _: bytes = b"") -> list[Event]:
    errors = (Complaint(3, "width", "1024 is too wide. Write 768 at most.\x1b[2J"),)
    return [JobRejected(file.name, file.sha256, "", errors, file.inode, file.mtime_ns, file.size)]


def control(kind: str, job: str = "", error: str = "") -> object:
    """An answer to a control file."""
    return lambda file, _: [ControlTaken(job, kind, error, file)]


def started() -> Event:
    return DaemonStarted("0.1.0", "comfyui")


def printed(
    studio: StudioFiles,
    name: str,
    *,
    sha256: str,
    engine: Engine,
    models: Iterable[ModelFacts],
    spec: PanelSpec = ONE_SEED,
) -> JobId:
    """Write a panel with one picture to its approved end; its LoRA is of ``trained``."""
    job, facts = JobId(f"{name}_v1"), list(models)
    loras = (LoraUse("spyke_v1-000396.safetensors", 0.7, "spyke_v1"),)
    first = studio.head.seq + 1
    studio.write(EngineRecorded(**asdict(engine)))
    studio.write(*(ModelRecorded(**asdict(model)) for model in facts))
    drawn_by = replace(
        judged(job, sha256=sha256),
        engine=first,
        models=tuple(range(first + 1, first + 1 + len(facts))),
        template="panel.json",
        template_sha256="1" * 64,
        workflow_sha256="2" * 64,
        bytes=9,
        perceptual_hash="0123456789abcdef",
        rung="default",
    )
    studio.write(
        accepted(name, spec=replace(spec, loras=loras)),
        AttemptStarted(job, 1, "comfyui", "default", 0, stage=""),
        drawn_by,
        AttemptEnded(job, 1, Outcome.SUCCEEDED, "", "", 0, 0.0),
        ResultPublished(job, {f"{job}.png": sha256, f"{job}.lock.toml": "b" * 64}),
        JobEnded(job, Phase.PUBLISHED, ""),
        JobApproved(job, 1, 0),
    )
    return job
