"""Spells a stretch of the ledger's lines into what a review asks of them, line by line.

Law: a line that is not understood changes nothing. No line is trusted to be of its type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from daemon.wire.instants import instant_ms

Line = Mapping[str, object]

_AFTER = {
    "succeeded": "publishing",
    "failed": "failed",
    "cancelled": "cancelled",
    "stopped": "waiting",
    "lost": "waiting",
}
"""An attempt's outcome -> where it leaves the job."""


@dataclass(slots=True)
class Job:
    """What was told of a job. ``phase`` is '' for one that nothing is known of.

    ``pictures`` are those it makes, or those a training learns from; ``troubles`` the codes of the
    attempts that were in vain; ``saved`` the steps of its checkpoints.
    """

    id: str
    training: bool = False
    file: str = ""
    ref: str = ""
    pictures: int = 0
    steps: int = 0
    models: Sequence[str] = ()
    phase: str = ""
    code: str = ""
    text: str = ""
    attempt: int = 0
    began_ms: int = 0
    gpu_ms: int = 0
    troubles: list[str] = field(default_factory=list)
    saved: set[int] = field(default_factory=set)
    step: int = 0
    loss: float | None = None
    approved: list[int] = field(default_factory=list)
    installed: str = ""


@dataclass(slots=True)
class Stretch:
    """What the lines have told so far: of each job all there is, of the rest in their order.

    ``daemon`` is "started" or "stopped", whichever was told last, '' for neither.
    ``asked``, ``published`` and ``ended`` name jobs; ``refused`` are files and why, ``duplicates``
    files and of which job, ``incidents`` and ``objections`` (code or sentence, text or job),
    ``chosen`` jobs with a picture's number or 0.
    """

    jobs: dict[str, Job] = field(default_factory=dict)
    daemon: str = ""
    paused: bool = False
    events: int = 0
    first_at: str = ""
    last_at: str = ""
    asked: dict[str, None] = field(default_factory=dict)
    published: dict[str, None] = field(default_factory=dict)
    ended: dict[str, None] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    chosen: list[tuple[str, int]] = field(default_factory=list)
    incidents: list[tuple[str, str]] = field(default_factory=list)
    objections: list[tuple[str, str]] = field(default_factory=list)
    torn: list[tuple[int, str]] = field(default_factory=list)
    controls: list[str] = field(default_factory=list)
    starts: int = 0
    crashes: int = 0


def fresh(stretch: Stretch) -> Stretch:
    """One that knows how things stand, and tells only of what comes now."""
    return Stretch(jobs=stretch.jobs, daemon=stretch.daemon, paused=stretch.paused)


def fold(lines: Iterable[Line], stretch: Stretch | None = None) -> Stretch:
    """What these lines tell, in the ledger's order; ``stretch`` is added to and returned."""
    stretch = stretch or Stretch()
    for line in lines:
        stretch.events += 1
        match line:
            case {"at": str(at)}:
                stretch.first_at, stretch.last_at = stretch.first_at or at, at
        _apply(stretch, line)
    return stretch


def _apply(stretch: Stretch, line: Line) -> None:
    match line:
        case {"type": "daemon.started"}:
            stretch.starts += 1
            stretch.crashes += stretch.daemon == "started"
            stretch.daemon = "started"
        case {"type": "daemon.stopped"}:
            stretch.daemon = "stopped"
        case {"type": "job.accepted", "job": str(name)}:
            stretch.jobs[name] = _accepted(Job(name, phase="waiting"), line)
            stretch.asked[name] = None
        case {"type": "job.rejected", "name": str(name), "errors": list(errors)}:
            stretch.refused.append((name, _complaint(errors)))
        case {"type": "job.duplicate", "of": str(of), "file": {"name": str(name)}}:
            stretch.duplicates.append((name, of))
        case {"type": "control.taken", "kind": str(kind)}:
            _control(stretch, kind, line)
        case {"type": "incident", "code": str(code), "text": str(text)}:
            stretch.incidents.append((code, text))
        case {"type": "ledger.restored", "cause": str(cause)}:
            stretch.incidents.append(("LEDGER_RESTORED", cause))
        case {"type": "ledger.torn", "bytes": int(count), "kept": str(kept)}:
            stretch.torn.append((count, kept))
        case {"type": str(), "job": str(name)}:
            _apply_to_job(stretch, stretch.jobs.setdefault(name, Job(name)), line)


def _apply_to_job(stretch: Stretch, job: Job, line: Line) -> None:
    match line:
        case {"type": "job.held", "code": str(code), "text": str(text)}:
            job.phase, job.code, job.text = "held", code, text
        case {"type": "attempt.started", "attempt": int(attempt)}:
            job.phase, job.code, job.text, job.attempt = "running", "", "", attempt
            job.began_ms = _ms(line)
        case {"type": "attempt.ended", "outcome": str(outcome), "code": str(code)}:
            _attempt_ended(job, outcome, code, line)
        case {"type": "checkpoint.saved", "step": int(step)}:
            job.training, job.step = True, max(job.step, step)
            job.saved.add(step)
            match line:
                case {"loss": float(loss)}:
                    job.loss = loss
        case {"type": "result.published", "files": {**files}}:
            job.phase, job.code, job.text = "published", "", ""
            names = [str(name) for name in files]
            job.training = job.training or any(map(_is_lora, names))
            job.pictures = job.pictures or sum(name.endswith(".png") for name in names)
            stretch.published[job.id] = None
        case {"type": "job.ended", "phase": str(phase), "code": str(code)}:
            job.phase, job.code = phase, code
            stretch.ended[job.id] = None
        case {"type": "job.approved", "image": int(image), "checkpoint": int(step)}:
            job.approved.append(image or step)
            stretch.chosen.append((job.id, image))
        case {"type": "lora.installed", "file": str(file)}:
            job.installed = file


def _attempt_ended(job: Job, outcome: str, code: str, line: Line) -> None:
    job.phase, job.code = _AFTER.get(outcome, "waiting"), code
    match line:
        case {"evidence": str(text)}:
            job.text = text
    if job.began_ms:
        job.gpu_ms += max(0, _ms(line) - job.began_ms)
    if outcome not in ("succeeded", "cancelled"):
        job.troubles.append(code)


def _control(stretch: Stretch, kind: str, line: Line) -> None:
    match line:
        case {"error": str(error)} if error:
            asked = " ".join(str(part) for part in (kind, line.get("job", "")) if part)
            stretch.objections.append((error, asked))
            return
        case {"job": str(name)} if name in stretch.jobs:
            job = stretch.jobs[name]
            if kind == "retry":
                job.phase, job.code, job.text = "waiting", "", ""
            elif kind == "cancel" and job.phase != "running":
                job.phase, job.code, job.text = "cancelled", "", ""
    if kind in ("pause", "resume"):
        stretch.paused = kind == "pause"
    stretch.controls.append(kind)


def _accepted(job: Job, line: Line) -> Job:
    match line:
        case {"kind": str(kind)}:
            job.training = kind == "train"
    match line:
        case {"file": {"name": str(name)}}:
            job.file = name
    match line:
        case {"ref": str(ref)}:
            job.ref = ref
    match line:
        case {"spec": {"seeds": list(seeds), "checkpoint": str(checkpoint), **rest}}:
            job.pictures = len(seeds)
            job.models = [_bare(checkpoint), *_loras(rest.get("loras"))]
        case {"spec": {"steps": int(steps), "images": int(images)}}:
            job.steps, job.pictures = steps, images
    return job


def _loras(value: object) -> Iterable[str]:
    for lora in value if isinstance(value, list) else ():
        match lora:
            case {"name": str(name)}:
                yield f"LoRA {_bare(name)}"


def _is_lora(name: str) -> bool:
    return name.endswith(".safetensors")


def _bare(model: str) -> str:
    return model.removesuffix(".safetensors")


def _complaint(errors: Sequence[object]) -> str:
    """The first thing that is wrong, where it stands, and how many more there are."""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    match errors[:1]:
        case [{"text": str(text), "line": int(line), "key": str(key)}]:
            where = ", ".join(filter(None, (f"line {line}" if line > 0 else "", key)))
            return f"{where}: {text}{more}" if where else text + more
    return "no reason was recorded"


def _ms(line: Line) -> int:
    """When it was written, in ms since 1970; 0 when that cannot be read."""
    match line:
        case {"at": str(at)}:
            try:
                return instant_ms(at)
            except ValueError:
                return 0
    return 0
