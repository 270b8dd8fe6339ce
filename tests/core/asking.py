"""Commands for the tests of the core: short to write by hand, and drawn by chance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256

from hypothesis import strategies as st

from daemon.core.commands import (
    Command,
    ConfirmInstalled,
    ConfirmPublished,
    Observe,
    RecordModels,
    RecordPrompt,
    RecordTrainer,
    Reject,
    ReportCheckpoint,
    ReportEnded,
    ReportImage,
    ReportIncident,
    ReportUnpublishable,
    Start,
    Stop,
    Submit,
    TakeControl,
)
from daemon.core.events import JobAccepted
from daemon.core.jobs import (
    QUALITY_CODES,
    Asked,
    Complaint,
    Control,
    ControlKind,
    Engine,
    FileFacts,
    Grid,
    JobId,
    LoraUse,
    ModelFacts,
    Outcome,
    PanelSpec,
    Regularization,
    TrainingImage,
    TrainSpec,
)
from daemon.core.state import State
from daemon.core.tools import Making, TrainerUse
from daemon.core.world import World
from tests.desk import READY, REHEARSING, Desk

PANEL = PanelSpec(
    prompt="spyke, leaping",
    negative="",
    width=512,
    height=768,
    seeds=(421,),
    variations=1,
    steps=20,
    cfg=7.0,
    sampler="euler",
    scheduler="normal",
    denoise=1.0,
    clip_skip=2,
    checkpoint="a.safetensors",
    vae="v.safetensors",
    workflow="panel",
    quality=True,
)
TRAIN = TrainSpec(
    trigger="spyke_plasma_v1",
    dataset="datasets/spyke",
    checkpoint="a.safetensors",
    vae="v.safetensors",
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
    save_every=200,
    seed=1,
    clip_skip=1,
    features=(),
    when="night",
    resume=True,
    force=False,
    allow_overfit=False,
    waive_trigger_probe=True,
    grid=None,
    images=18,
    repeats=11,
    epoch_steps=198,
    epochs=5,
)
WHOLE = replace(
    TRAIN,
    waive_trigger_probe=False,
    probe=True,
    regularization=Regularization(150, "a man, full body", "man"),
    grid=Grid(("spyke_plasma_v1, running",), (1, 2), 0.7),
)
DATASET = tuple(TrainingImage(f"{n:03}.png", f"{n:064x}", "e" * 64) for n in range(1, 19))
DOWN = replace(READY, engine_code="COMFY_NOT_READY", engine_text="The engine is silent.")
BUSY = replace(READY, gpu_free=False)
FULL = replace(READY, free_bytes=2**30)
NONE = World("none", "ENGINE_MISSING", "No engine is set.")


def file(text: str, *, inode: int = 1, name: str = "job.toml") -> FileFacts:
    """The facts of a dropped file of this text; each ``inode`` is another drop."""
    digest = sha256(text.encode()).hexdigest()
    return FileFacts(name, digest, inode, 1_000 + inode, len(text.encode()))


def panel(
    name: str = "ch01",
    *,
    text: str = "",
    inode: int = 1,
    priority: int = 0,
    rerun: bool = False,
    spec: PanelSpec = PANEL,
) -> Submit:
    """A panel's file. Without a ``text`` of its own each name has one."""
    text = text or f"panel = {name!r}"
    asked = Asked("panel", name, f"ref of {name}", priority, rerun, spec)
    return Submit(file(text, inode=inode, name=f"{name}.toml"), text, asked)


def training(name: str = "spyke", *, inode: int = 1, spec: TrainSpec | None = None) -> Submit:
    text = f"lora = {name!r}"
    asked = Asked("train", name, "", 0, rerun=False, spec=spec or TRAIN)
    return Submit(file(text, inode=inode), text, asked, dataset=DATASET)


def control(kind: ControlKind, job: str = "", *, inode: int = 1) -> TakeControl:
    return TakeControl(file(f"{kind} {job}", inode=inode), Control(kind, job))


def approve(job: str, *, image: int = 0, checkpoint: int = 0, inode: int = 1) -> TakeControl:
    text = f"approve {job} {image} {checkpoint}"
    return TakeControl(file(text, inode=inode), Control("approve", job, image, checkpoint))


SEEN = "What was seen."


def ended(job: str, attempt: int, outcome: Outcome, code: str = "CODE") -> ReportEnded:
    return ReportEnded(JobId(job), attempt, outcome, code, SEEN)


def spoilt(job: str, attempt: int, code: str = "BLACK_OR_GRAY") -> ReportEnded:
    return ended(job, attempt, Outcome.FAILED, code)


def published(job: str) -> ConfirmPublished:
    return ConfirmPublished(JobId(job), {f"{job}.png": "c" * 64})


def checkpoint(job: str, step: int, *, attempt: int = 1) -> ReportCheckpoint:
    return ReportCheckpoint(JobId(job), attempt, step, f"{step:064x}", 0.1, 9, "mps")


ENGINE = Engine(
    name="comfyui",
    version="0.3.64",
    mode="managed",
    args=("main.py",),
    device="mps",
    python="3.11.7",
    torch="2.8.0",
    os="darwin",
    custom_nodes=(),
)
VAE = ModelFacts("vae", "v.safetensors", "c" * 64, 9, "F32")
MAKING = Making(
    engine=ENGINE,
    models=(VAE,),
    template="panel.json",
    template_sha256="1" * 64,
    workflow_sha256="2" * 64,
    bytes=9,
    perceptual_hash="0123456789abcdef",
)
TRAINER = TrainerUse(
    trainer="sd-scripts",
    commit="48d368fa",
    python="3.11.7",
    packages={"torch": "2.8.0", "accelerate": "1.6.0"},
    arguments=("--config_file", "$STUDIO/config.toml"),
    environment={"PYTORCH_MPS_HIGH_WATERMARK_RATIO": "0.7"},
    models=(VAE,),
    config='[models]\nvae = "$COMFYUI/v.safetensors"\n',
    dataset="[[datasets]]\n",
)


def image(job: str, number: int = 1, *, attempt: int = 1, making: Making = MAKING) -> ReportImage:
    scores = {"mean": 0.5}
    return ReportImage(JobId(job), attempt, number, "d" * 64, "good", scores, making)


def trained(world: World = READY) -> Desk:
    """A desk at which the training spyke has ended well, with checkpoints of two epochs."""
    desk = Desk(world=world)
    [accepted, *_] = desk.do(training())
    assert isinstance(accepted, JobAccepted)
    desk.do(checkpoint(accepted.job, 198), checkpoint(accepted.job, 396))
    desk.do(ended(accepted.job, 1, Outcome.SUCCEEDED, ""))
    desk.do(published(accepted.job))
    return desk


NAMES = ("ch01", "ch02", "spyke")
WORLDS = (READY, DOWN, BUSY, FULL, REHEARSING, NONE)
SPECS = (
    PANEL,
    PANEL,
    replace(PANEL, seeds=(), variations=2),
    replace(PANEL, loras=(LoraUse("spyke_v1", 0.7),)),
    replace(PANEL, quality=False),
)
_ABOUT_ONE: tuple[ControlKind, ...] = ("cancel", "retry")
_ABOUT_ALL: tuple[ControlKind, ...] = ("pause", "resume")


@dataclass(frozen=True)
class Ask:
    """A command to be: ``kind`` of it, the ``job`` meant, and which of several it is."""

    kind: str
    job: int
    which: int

    def of(self, state: State) -> Command:
        """The command, as often as not about the job that runs and the attempt it is in."""
        which = self.which
        known = [*state.jobs, JobId("never_v1")]
        job = state.lease if state.lease and self.job % 2 else known[self.job % len(known)]
        found = state.jobs.get(job)
        attempt = which if found is None or which == 5 else found.attempt
        name = NAMES[self.job % len(NAMES)]
        match self.kind:
            case "panel":
                return panel(
                    name,
                    inode=which,
                    priority=which % 3 - 1,
                    rerun=which == 5,
                    spec=SPECS[self.job % len(SPECS)],
                )
            case "training":
                return training(name, inode=which, spec=WHOLE if which % 2 else TRAIN)
            case "refused":
                errors = (Complaint(1, "width", "Too wide."),)
                return Reject(file("bad", inode=which), b"bad", "", errors)
            case "about one":
                return control(_ABOUT_ONE[which % 2], job, inode=which)
            case "about all":
                return control(_ABOUT_ALL[which % 2], inode=which)
            case "ended":
                return ended(job, attempt, list(Outcome)[which % len(Outcome)])
            case "lost":
                return ended(job, attempt, Outcome.LOST)
            case "spoilt":
                return spoilt(job, attempt, sorted(QUALITY_CODES)[which % 2])
            case "prompt":
                return RecordPrompt(job, attempt, which, f"prompt {job} {attempt} {which}")
            case "image":
                return image(job, which, attempt=attempt)
            case "trainer":
                return RecordTrainer(job, attempt, TRAINER)
            case "checkpoint":
                return checkpoint(job, 198 * which, attempt=attempt)
            case "approve":
                if found is not None and found.kind == "panel":
                    return approve(job, image=which, inode=which)
                made = [(one.id, step) for one in state.jobs.values() for step in one.checkpoints]
                lora, step = [*made, (job, 198 * which)][0]
                return approve(lora, checkpoint=step, inode=which)
            case "installed":
                lora, step = [*state.installs, (job, 198 * which)][0]
                name = f"{lora}-{step:06d}.safetensors"
                return ConfirmInstalled(lora, step, name, f"{step:064x}")
            case "published":
                return published(job)
            case "gone":
                return ReportUnpublishable(job, "Gone.")
            case "models":
                sha256 = f"{which % 2}" * 64
                return RecordModels((ModelFacts("vae", "v.safetensors", sha256, 9, "F32"),))
            case "observe":
                return Observe(WORLDS[which % len(WORLDS)])
            case _:
                others = (
                    ReportIncident("CODE", "Something."),
                    Start("1.0.0", "comfyui", 7, "torn"),
                    Stop("asked to stop"),
                )
                return others[which % len(others)]


KINDS = (
    *("panel", "panel", "ended", "ended", "lost", "published", "about one", "about one", "observe"),
    *("training", "training", "checkpoint", "checkpoint", "approve", "approve", "installed"),
    *(
        "spoilt",
        "spoilt",
        "refused",
        "about all",
        "prompt",
        "image",
        "trainer",
        "gone",
        "models",
        "others",
    ),
)
asks = st.builds(Ask, st.sampled_from(KINDS), st.integers(0, 11), st.integers(0, 5))


def serve(served: Iterable[Ask]) -> Desk:
    """The desk after these commands, a turn each."""
    desk = Desk()
    for ask in served:
        desk.do(ask.of(desk.state))
    return desk


desks = st.lists(asks, max_size=30).map(serve)
"""A desk at which up to 30 commands have been served, a turn each."""
