"""A month of one studio, for the review sheet to tell of: its events, its pictures, its page.

Law: ``text`` goes over everything that a person, a file or a program has written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

from PIL import Image

from daemon.core.events import (
    AttemptEnded,
    AttemptStarted,
    CalibrationMeasured,
    CheckpointSaved,
    DaemonStarted,
    DatasetRecorded,
    Entry,
    Event,
    Incident,
    JobAccepted,
    JobApproved,
    JobEnded,
    JobHeld,
    JobRejected,
    LoraInstalled,
    PictureReproduced,
    PromptSent,
    ResultPublished,
)
from daemon.core.hurdles import Reason
from daemon.core.jobs import Complaint, JobId, LoraUse, Outcome, PanelSpec, Phase
from daemon.core.policy import Policy
from daemon.core.state import fold
from daemon.core.tools import EngineRecorded, ModelRecorded, TrainerRecorded
from daemon.core.windows import Span, Windows
from daemon.core.world import Heavy, Machine
from daemon.ports import Disk
from daemon.rehearsal.draw import Shot, draw
from daemon.shell.sheet import Sheet
from daemon.wire.comfyui import EngineFacts
from daemon.wire.ledger_line import Head, write_line
from daemon.wire.loss_svg import loss_svg
from daemon.wire.status import DaemonFacts, Document, Drawing, notice_of, status_document
from tests.core.asking import ENGINE, TRAIN, TRAINER
from tests.desk import READY
from tests.examples import FILE, PANEL, accepted, judged

Text = Callable[[str], str]
HOUR_MS = 3_600_000
NOW = 1_795_473_000_000  # Monday, 2026-11-23, 22:30 UTC: half past eleven in Berlin.
DAYS = 30
BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Windows((Span(frozenset(range(7)), 22 * 60, 7 * 60),), BERLIN)
POLICY = Policy(training_windows=NIGHT, panel_windows=Windows(zone=BERLIN))
SCENES = (
    *("white cloak, red bandana, leaping, rain", "sitting on a rooftop, night, from behind"),
    *("close-up, grinning, speed lines", "wide shot, empty street, dust, sunset"),
    *("crowd, low angle, plasma blade", "two figures, silhouette, bridge"),
)
LOSSES = [(step, -(-step // 198), 0.09 + 12 / (step + 90)) for step in range(1, 991)]
TROUBLE = (
    *(("BLACK_OR_GRAY", "Every value of picture 1 is 0, in profile default."), ("", "")),
    *(("OOM_KILL", "The engine's process was killed while 0.4 GB were free."), ("", "")),
)


class Month:
    """What happened there. ``text`` spoils what others have written, as ``evil`` does."""

    def __init__(self, text: Text = str, *, panels_a_day: int = 6) -> None:
        self.text, self.panels_a_day = text, panels_a_day
        self._head = Head()
        self._at = NOW - DAYS * 24 * HOUR_MS
        self.entries = [*self._entries()]
        self.state = fold(self.entries)

    def document(self) -> Document:
        """status.json's, of a daemon that trains in the evening."""
        running = JobId("spyke_v4")
        text = self.text
        heavy = (Heavy(text("Google Chrome"), 3 << 30), Heavy("Discord", 1 << 30))
        machine = Machine(16 << 30, 5 << 30, level=1, programs=heavy)
        reasons = {
            job: Reason("GPU_LEASED", text("spyke_v4 has the GPU."), NOW + HOUR_MS)
            for job in self.state.queue
            if self.state.jobs[job].phase is Phase.WAITING
        }
        return status_document(
            self.state,
            at=NOW,
            daemon=DaemonFacts("1.0.0", 4711, "a1b2", NOW - 9 * HOUR_MS),
            world=replace(READY, machine=machine),
            engine=_facts(text),
            reasons=reasons,
            progress=Drawing(running, 1, 0, 420, 990, 3, 5, 0.1034),
            incidents=filter(None, map(notice_of, self.entries)),
            policy=POLICY,
        )

    def files(self, outbox: Path) -> None:
        """The pictures of every job that was published."""
        frames = [_frame(number) for number in range(len(SCENES))]
        grid = Image.new("RGB", (512 * len(frames), 768))
        for number, frame in enumerate(frames):
            grid.paste(frame, (512 * number, 0))
        pictures = [_png(frame) for frame in frames]
        for place, job in enumerate(self.state.jobs.values()):
            for name in job.files:
                path = outbox / job.id / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if name == "grid.png":
                    path.write_bytes(_png(grid))
                elif name == "loss.svg":
                    path.write_bytes(loss_svg(job.id, LOSSES))
                elif name.endswith(".png"):
                    path.write_bytes(pictures[place % len(frames)])

    def _entries(self) -> Iterator[Entry]:
        for event in self._events():
            self._at += 40_000
            entry, _ = write_line(event, at=self._at, head=self._head)
            self._head = Head(entry.seq, entry.chain, entry.segment)
            yield entry

    def _events(self) -> Iterator[Event]:
        text = self.text
        yield DaemonStarted("1.0.0", "comfyui")
        engine = {**asdict(ENGINE), "version": text("0.3.64"), "torch": text("2.8.0")}
        yield EngineRecorded(**engine)
        for role, name in (("checkpoint", PANEL.checkpoint), ("vae", PANEL.vae)):
            yield ModelRecorded(role, text(name), _hash(name), 9, text("F16"), {})
        yield ModelRecorded("lora", text("spyke_v1-000990.safetensors"), _hash("l"), 9, "F32", {})
        yield CalibrationMeasured((41.0, 41.2, 40.9), 0.0, {"device": "mps"})
        for day in range(DAYS):
            self._at = NOW - (DAYS - day) * 24 * HOUR_MS
            if day % 10 == 1:
                yield from self._training(f"spyke_v{1 + day // 10}", approved=day < 20)
            for number in range(self.panels_a_day):
                yield from self._panel(day * self.panels_a_day + number)
        yield from self._today()

    def _today(self) -> Iterator[Event]:
        """What still is to be done, and what could not be."""
        text = self.text
        self._at = NOW - HOUR_MS
        for number, (what, why) in enumerate(
            (("width", "1024 is too wide. Write 768 at most."), ("seed", "-1 is no seed."))
        ):
            errors = (Complaint(3, text(what), text(why)),)
            name = text(f"wide{number}.toml")
            yield JobRejected(name, _hash(name), text("run-8"), errors, 70 + number, 1, 2)
        yield from self._asked("spyke_v4", "train")
        yield AttemptStarted(JobId("spyke_v4"), 1, "comfyui", "default", 9 << 30, stage="")
        yield CheckpointSaved(JobId("spyke_v4"), 198, _hash("4"), 0.1434, 1, 9_551_520, "mps", 10.2)
        yield from self._asked("ruri_v1", "train")
        for number in range(8):
            job = f"ch04_p{number:03}_v1"
            yield from self._asked(job, "panel")
            if number < 2:
                why = text("anything-v5.safetensors is not in models/checkpoints.")
                yield JobHeld(JobId(job), "MODEL_MISSING", why, 0)
        yield Incident("ENGINE_TROUBLE", text("The engine lost six attempts in a row."))

    def _asked(self, job: str, kind: str) -> Iterator[JobAccepted]:
        text, name = self.text, job.rpartition("_v")[0]
        first = accepted(name, number=int(job.rpartition("_v")[2]))
        file = replace(FILE, name=text(f"{name}.toml"), sha256=_hash(job), inode=len(job))
        common = replace(first, file=file, ref=text(f"run-7/{name}"), warnings=(text("High."),))
        if kind == "train":
            spec = replace(TRAIN, trigger=text("spyke_plasma_v1"), dataset=text("datasets/spyke"))
            yield replace(common, kind="train", spec=replace(spec, checkpoint=text("a.sft")))
            return
        yield replace(common, spec=self._spec(sum(map(ord, job))))

    def _spec(self, number: int) -> PanelSpec:
        text, net = self.text, PANEL.controlnet
        assert net is not None
        net = replace(net, model=text(net.model), image=text("poses/ch01.png"))
        return replace(
            PANEL,
            prompt=text(f"spyke_plasma_v1, {SCENES[number % len(SCENES)]}"),
            negative=text("lowres, bad hands"),
            seeds=tuple(range(number, number + 1 + (number % 5 == 0) * 3)),
            variations=1 + (number % 5 == 0) * 3,
            checkpoint=text(PANEL.checkpoint),
            vae=text(PANEL.vae),
            workflow=text("panel"),
            sampler=text("euler"),
            scheduler=text("normal"),
            loras=(LoraUse(text("spyke_v1-000990.safetensors"), 0.7, "spyke_v1"),),
            controlnet=net if number % 3 == 0 else None,
        )

    def _panel(self, number: int) -> Iterator[Event]:
        job = JobId(f"ch{1 + number // 60:02}_p{number % 60:03}_v1")
        [asked] = self._asked(job, "panel")
        yield asked
        assert isinstance(asked.spec, PanelSpec)
        seeds = asked.spec.seeds
        yield AttemptStarted(job, 1, "comfyui", "default", 0, stage="")
        code, why = TROUBLE[number // 20 % 4] if number % 20 == 7 else ("", "")
        if code:
            yield AttemptEnded(job, 1, Outcome.FAILED, code, self.text(why), 0, 0.0)
            phase = Phase.FAILED if code == "BLACK_OR_GRAY" else Phase.QUARANTINED
            yield JobEnded(job, phase, code)
            return
        files: dict[str, str] = {}
        for image, _ in enumerate(seeds, start=1):
            stem = job if len(seeds) == 1 else f"{job}-{image:02}"
            yield PromptSent(job, 1, image, "0f0f0f0f-0000-0000-0000-000000000000")
            seen = judged(job, sha256=_hash(stem), image=image)
            yield replace(seen, engine=2, models=(3, 4, 5), rung=self.text("default"))
            ends = (".png", ".lock.toml", ".workflow.json")
            files |= {f"{stem}{end}": _hash(f"{stem}{end}") for end in ends}
        yield AttemptEnded(job, 1, Outcome.SUCCEEDED, "", "", 5 << 30, 0.0)
        yield ResultPublished(job, files)
        yield JobEnded(job, Phase.PUBLISHED, "")
        if number % 3 == 0:
            yield JobApproved(job, 1, 0)
        if number % 30 == 0:
            differences = (self.text("torch: 2.8.0, now 2.9.0"),)
            yield PictureReproduced(
                job, _hash(f"{job}-01.lock.toml"), self.text("drifted"), 1.2, differences
            )

    def _training(self, name: str, *, approved: bool) -> Iterator[Event]:
        job = JobId(name)
        yield from self._asked(name, "train")
        yield DatasetRecorded(job, tuple(self._images()))
        yield TrainerRecorded(
            job, 1, **{**asdict(TRAINER), "models": (3,), "trainer": self.text("sd-scripts")}
        )
        yield AttemptStarted(job, 1, "comfyui", "default", 9 << 30, stage="")
        made = {}
        for step in range(198, 991, 198):
            loss = 0.08 + 12 / step
            yield CheckpointSaved(job, step, _hash(f"{job}{step}"), loss, 1, 9, "mps", 10.2)
            made[f"checkpoints/{job}-{step:06}.safetensors"] = _hash(f"{job}{step}")
        yield AttemptEnded(job, 1, Outcome.SUCCEEDED, "", "", 9 << 30, 10.2)
        shown = {each: _hash(each) for each in ("grid.png", "loss.svg", "loss.csv")}
        yield ResultPublished(job, {**made, **shown})
        yield JobEnded(job, Phase.PUBLISHED, "")
        if approved:
            yield JobApproved(job, 0, 990)
            yield LoraInstalled(job, f"{job}-000990.safetensors", _hash(f"{job}990"))

    def _images(self) -> Iterator[tuple[str, str, str, str]]:
        for number in range(18):
            source = self.text(("drawn", "panel")[number % 2])
            yield f"{number:03}.png", f"{number:064x}", "e" * 64, source


async def write(month: Month, disk: Disk) -> None:
    """Its sheet, as a daemon that has just started writes it."""
    last = month.entries[-1]
    sheet = Sheet(
        disk=disk,
        state=lambda: month.state,
        policy=POLICY,
        host="mac",
        document=month.document,
        head=lambda: Head(last.seq, last.chain, last.segment),
    )
    await sheet.catch_up()
    await sheet.finish()


def _facts(text: Text) -> EngineFacts:
    return EngineFacts(
        "comfyui", text("0.3.64"), "Apple M1", text("mps"), (), "3.11", "2.8", "darwin", "managed"
    )


def _frame(number: int) -> Image.Image:
    """A storyboard, as the rehearsal draws it."""
    shot = Shot(
        positive=f"spyke_plasma_v1, {SCENES[number]}",
        negative="lowres, bad hands",
        checkpoint="anything-v5.safetensors",
        loras=(("spyke_v1-000990.safetensors", 0.7),),
        hints=(),
        seed=421 + number,
        steps=20,
        cfg=7.0,
        sampler="euler",
        scheduler="normal",
        denoise=1.0,
        clip_layer=-2,
    )
    return draw(shot, 512, 768)


def _png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _hash(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def evil(text: str) -> str:
    """The same, with what a browser or a terminal would obey."""
    return f"{text}{EVIL}"


EVIL = "</style><script>hit=1</script>\"'><img src=x onerror=hit=2>{{ 7*7 }}\x1b[2J\u202e\u2028"
"""Ends a style, a tag and a quote; runs; reloads; clears a terminal; turns the text about."""
