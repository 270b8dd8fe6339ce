"""Example values for tests: one panel with everything in it, and the job that asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256

from daemon.core.events import ImageJudged, JobAccepted
from daemon.core.job import Job
from daemon.core.jobs import ControlNetUse, FileFacts, JobId, LoraUse, PanelSpec, Phase

HINT = b"\x89PNG hint"
HINT_SHA256 = sha256(HINT).hexdigest()
REQUEST = 'kind = "panel"\nprompt = "spyke, leaping in the rain"\n'
FILE = FileFacts(
    "ch01_p003.toml", sha256(REQUEST.encode()).hexdigest(), 11, 1_790_000_000, len(REQUEST)
)
PANEL = PanelSpec(
    prompt="spyke, leaping in the rain",
    negative="",
    width=512,
    height=768,
    seeds=(421, 422),
    variations=2,
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
    loras=(LoraUse("spyke_v1-000792.safetensors", 0.7, "spyke_v1"),),
    controlnet=ControlNetUse(
        "openpose.safetensors", "poses/ch01_p003.png", 0.65, 0.0, 1.0, HINT_SHA256
    ),
)
ONE_SEED = replace(PANEL, seeds=(421,), variations=1)


def accepted(name: str = "ch01_p003", *, number: int = 1, spec: PanelSpec = PANEL) -> JobAccepted:
    """The acceptance of a panel."""
    return JobAccepted(
        job=JobId(f"{name}_v{number}"),
        kind="panel",
        ref="run-7/ch01/3",
        priority=0,
        file=FILE,
        request=REQUEST,
        spec=spec,
        warnings=(),
    )


def job(
    name: str = "ch01_p003",
    *,
    phase: Phase = Phase.WAITING,
    seq: int = 1,
    priority: int = 0,
    spec: PanelSpec = PANEL,
) -> Job:
    """A job in a phase. ``seq`` is that of its acceptance and of its last change."""
    return Job(
        id=JobId(f"{name}_v1"),
        kind="panel",
        name=name,
        ref="run-7/ch01/3",
        priority=priority,
        file=FILE,
        request=REQUEST,
        spec=spec,
        warnings=(),
        accepted_seq=seq,
        accepted_at=1_795_000_000_123,
        phase=phase,
        changed_at=1_795_000_060_000,
        changed_seq=seq,
        attempt=0 if phase in (Phase.WAITING, Phase.HELD) else 1,
    )


def judged(
    job: JobId,
    *,
    sha256: str,
    attempt: int = 1,
    image: int = 1,
    verdict: str = "good",
    scores: Mapping[str, float] | None = None,
) -> ImageJudged:
    """A picture of which its line does not say how it was made, as release 0.1.0 wrote it."""
    return ImageJudged(
        job=job,
        attempt=attempt,
        image=image,
        sha256=sha256,
        verdict=verdict,
        scores=scores or {},
        engine=0,
        models=(),
        template="",
        template_sha256="",
        workflow_sha256="",
        bytes=0,
        perceptual_hash="",
        rung="",
        map_sha256="",
    )
