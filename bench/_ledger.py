"""A made-up studio's ledger: the same bytes each time, with the events of a real one in about the
proportions of a real one.

Of 100 files that are dropped 94 are panels (one picture each, every fifth two or four), 2 are
trainings, 3 are refused and 1 was known. Names come back: every other panel is another version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

from daemon.core.events import (
    AttemptEnded,
    AttemptStarted,
    CheckpointSaved,
    ControlTaken,
    DaemonStarted,
    DaemonStopped,
    DatasetRecorded,
    Event,
    ImageJudged,
    JobAccepted,
    JobApproved,
    JobDuplicate,
    JobEnded,
    JobHeld,
    JobRejected,
    LoraInstalled,
    PromptSent,
    ResultPublished,
)
from daemon.core.ids import lora_file, prompt_id
from daemon.core.jobs import (
    Complaint,
    FileFacts,
    JobId,
    Kind,
    LoraUse,
    Outcome,
    PanelSpec,
    Phase,
    Spec,
    TrainSpec,
)
from daemon.core.tools import EngineRecorded, ModelRecorded
from daemon.wire.ledger_line import Head, write_line

_BEGIN_MS = 1_798_761_600_000  # 2027-01-01, 00:00 UTC.
_YEAR_MS = 360 * 86_400_000
_JOBS_A_DAY = 40
_CHECKPOINT = "anything-v5-pruned.safetensors"
_VAE = "vae-ft-mse-840000-ema-pruned.safetensors"
_WORDS = (
    *("white cloak", "red bandana", "leaping", "rain", "rooftop", "night", "low angle", "crowd"),
    *("speed lines", "close-up", "grinning", "plasma blade", "empty street", "wide shot", "dust"),
    *("from behind", "sunset", "silhouette"),
)


def write_ledger(folder: Path, *, events: int) -> int:
    """A year of so many events in twelve segments; their bytes."""
    head, size, studio = Head(), 0, _Studio(Random(events))
    told, out = studio.events(), None
    for number in range(events):
        event = next(told)
        entry, line = write_line(event, at=_BEGIN_MS + number * _YEAR_MS // events, head=head)
        if out is None or entry.segment != head.segment:
            if out is not None:
                out.close()
            out = (folder / f"{entry.segment}.jsonl").open("wb")
        out.write(line)
        size += len(line)
        head = Head(entry.seq, entry.chain, entry.segment)
    if out is not None:
        out.close()
    return size


@dataclass(slots=True)
class _Studio:
    chance: Random
    drops: Iterator[int] = field(default_factory=count)
    versions: dict[str, int] = field(default_factory=dict)
    lora: JobId | None = None

    def events(self) -> Iterator[Event]:
        """What happens there, for ever."""
        for day in count():
            yield DaemonStarted("0.2.0", "comfyui")
            if day == 0:
                yield _engine()
                yield ModelRecorded("checkpoint", _CHECKPOINT, _hash("c"), 2_132_625_894, "F16", {})
                yield ModelRecorded("vae", _VAE, _hash("v"), 334_641_190, "F32", {})
                yield EngineRecorded(
                    name="ComfyUI",
                    version="0.3.68",
                    commit=_hash("e")[:40],
                    mode="external",
                    args=("$COMFYUI/main.py", "--port=8188"),
                    device="mps",
                    python="3.12.7",
                    torch="2.9.0",
                    os="darwin",
                    custom_nodes=(),
                )
            yield from self._training(f"spyke{day % 7}") if day % 2 == 0 else ()
            for _ in range(_JOBS_A_DAY):
                yield from self._panel_or_not()
            yield DaemonStopped("SIGTERM")

    def _panel_or_not(self) -> Iterator[Event]:
        draw = self.chance.random()
        chapter, number = self.chance.randrange(1, 400), self.chance.randrange(1, 160)
        if draw < 0.03:
            file = self._file("ch01_p001", b"seed = -1")
            errors = (Complaint(5, "seed", "seed = -1 is no seed: write 0 to 9007199254740991."),)
            facts = (file.inode, file.mtime_ns, file.size)
            yield JobRejected(file.name, file.sha256, "run-7/ch01/1", errors, *facts)
        elif draw < 0.04 and self.lora:
            yield JobDuplicate(self.lora, self._file("ch01_p001", b"again"))
        else:
            yield from self._panel(f"ch{chapter:03}_p{number:03}")

    def _panel(self, name: str) -> Iterator[Event]:
        images = self.chance.choices((1, 2, 4), (80, 12, 8))[0]
        prompt = "spyke_plasma_v1, " + ", ".join(self.chance.sample(_WORDS, 6))
        seeds = tuple(self.chance.randrange(2**53) for _ in range(images))
        request = (
            f'kind = "panel"\npanel = "{name}"\nref = "run-7/{name}"\nprompt = "{prompt}"\n'
            f'checkpoint = "{_CHECKPOINT}"\nseeds = {list(seeds)}\n'
        )
        loras = (LoraUse(lora_file(self.lora, 990), 0.7, self.lora),) if self.lora else ()
        spec = PanelSpec(
            prompt=prompt,
            negative="lowres, bad anatomy",
            width=512,
            height=self.chance.choice((512, 768)),
            seeds=seeds,
            variations=images,
            steps=20,
            cfg=7.0,
            sampler="euler",
            scheduler="normal",
            denoise=1.0,
            clip_skip=2,
            checkpoint=_CHECKPOINT,
            vae=_VAE,
            workflow="panel",
            quality=True,
            loras=loras,
        )
        job, accepted = self._accepted(name, "panel", request, spec)
        yield accepted
        if self.chance.random() < 0.05:
            yield JobHeld(job, "WINDOW", "Panels are drawn from 22:00 to 07:00.", 0)
        attempt = 1
        if self.chance.random() < 0.02:
            yield AttemptStarted(job, 1, "comfyui", "default", 4_301_000_000, "")
            yield AttemptEnded(job, 1, Outcome.LOST, "ENGINE_DIED", "Its process is gone.", 0, 0.0)
            attempt = 2
        yield from self._drawn(job, attempt, images)
        if self.chance.random() < 0.1:
            file = self._file("approve", job.encode())
            yield ControlTaken(job, "approve", "", file)
            yield JobApproved(job, 1, 0)

    def _drawn(self, job: JobId, attempt: int, images: int) -> Iterator[Event]:
        yield AttemptStarted(job, attempt, "comfyui", "default", 4_301_000_000, "")
        files = {}
        for image in range(1, images + 1):
            graph = _hash(f"{job} graph {image}")
            prompt = prompt_id(
                studio="s", job=job, attempt=attempt, image=image, graph_sha256=graph
            )
            yield PromptSent(job, attempt, image, prompt)
            scores = {
                "mean": round(self.chance.uniform(90, 180), 1),
                "saturation": round(self.chance.uniform(0.2, 0.6), 3),
                "std": round(self.chance.uniform(40, 80), 1),
            }
            yield ImageJudged(
                job=job,
                attempt=attempt,
                image=image,
                sha256=_hash(f"{job} {image}"),
                verdict="",
                scores=scores,
                engine=4,
                models=(2, 3),
                template="panel",
                template_sha256=_hash("panel"),
                workflow_sha256=graph,
                bytes=412_345,
                perceptual_hash=graph[:16],
                rung="",
                map_sha256="",
            )
            stem = job if images == 1 else f"{job}-{image:02}"
            for end in (".lock.toml", ".png", ".workflow.json"):
                files[stem + end] = _hash(f"{job} {image}{end if end != '.png' else ''}")
        yield AttemptEnded(job, attempt, Outcome.SUCCEEDED, "", "", 5_905_580_032, 0.0)
        yield ResultPublished(job, files)
        yield JobEnded(job, Phase.PUBLISHED, "")

    def _training(self, name: str) -> Iterator[Event]:
        pictures = tuple(
            (f"{name}_{n:03}.png", _hash(f"{name} {n}"), _hash(f"{name} {n} caption"), "")
            for n in range(30)
        )
        request = f'kind = "train"\nlora = "{name}"\ntrigger = "{name}_plasma"\nsteps = 990\n'
        job, accepted = self._accepted(name, "train", request, _train_spec(name))
        yield accepted
        yield DatasetRecorded(job, pictures)
        yield AttemptStarted(job, 1, "comfyui", "default", 4_301_000_000, "")
        for step in range(198, 991, 198):
            yield CheckpointSaved(
                job, step, _hash(f"{job} {step}"), 0.1 + 9 / step, 1, 9_551_520, "mps", 10.2
            )
        yield AttemptEnded(job, 1, Outcome.SUCCEEDED, "", "", 9_663_676_416, 0.0)
        yield ResultPublished(job, {lora_file(job, 990): _hash(f"{job} 990")})
        yield JobEnded(job, Phase.PUBLISHED, "")
        yield ControlTaken(job, "approve", "", self._file("approve", job.encode()))
        yield JobApproved(job, 0, 990)
        yield LoraInstalled(job, lora_file(job, 990), _hash(f"{job} 990"))
        self.lora = job

    def _accepted(
        self, name: str, kind: Kind, request: str, spec: Spec
    ) -> tuple[JobId, JobAccepted]:
        number = self.versions[name] = self.versions.get(name, 0) + 1
        job, file = JobId(f"{name}_v{number}"), self._file(name, request.encode())
        return job, JobAccepted(job, kind, f"run-7/{name}", 0, file, request, spec, ())

    def _file(self, stem: str, data: bytes) -> FileFacts:
        drop = next(self.drops)
        mtime_ns = 1_000_000 * _BEGIN_MS + 7_200_000_123_457 * drop
        sha256 = _hash(f"{drop} {data!r}")
        return FileFacts(f"{stem}.toml", sha256, 10**7 + drop, mtime_ns, len(data))


def _engine() -> EngineRecorded:
    return EngineRecorded(
        name="comfyui",
        version="0.3.64",
        commit="",
        mode="managed",
        args=("--force-upcast-attention",),
        device="mps",
        python="3.12.7",
        torch="2.8.0",
        os="macOS 15.6",
        custom_nodes=(),
    )


def _train_spec(name: str) -> TrainSpec:
    return TrainSpec(
        trigger=f"{name}_plasma",
        dataset=f"datasets/{name}",
        checkpoint=_CHECKPOINT,
        vae=_VAE,
        steps=990,
        network_dim=16,
        network_alpha=8.0,
        learning_rate=1e-4,
        optimizer="AdamW",
        lr_scheduler="cosine",
        gradient_accumulation=1,
        gradient_checkpointing=True,
        unet_only=False,
        mixed_precision="no",
        save_every=198,
        seed=42,
        clip_skip=1,
        features=(),
        when="window",
        resume=True,
        force=False,
        allow_overfit=False,
        waive_trigger_probe=False,
        grid=None,
        images=30,
        repeats=1,
        epoch_steps=30,
        epochs=33,
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
