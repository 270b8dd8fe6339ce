"""Spells what of a machine would spoil a night: what was found, why that matters, what to do.

Law: pure. What could not be seen is a finding of its own, and is never called fine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from daemon.core.job import Job
from daemon.core.jobs import TrainSpec
from daemon.core.night import clock_text, lasting, share
from daemon.core.policy import Policy
from daemon.core.reference import Reference
from daemon.core.state import State
from daemon.core.windows import ALWAYS, opens
from daemon.craft.diagnosis import diagnosis
from daemon.craft.engine_concerns import concerns
from daemon.craft.preflight import TrainerFacts
from daemon.wire.comfyui import EngineFacts
from daemon.wire.phrases import counted, some

Severity = Literal["bad", "warn", "unknown", "fine"]

ORDER: tuple[Severity, ...] = ("bad", "warn", "unknown", "fine")
"""The worst first."""

_DAY_MS = 24 * 3_600_000
_OLD_MS = 60 * _DAY_MS
ADVANCED = "ComfyUI-Advanced-ControlNet"
ADVANCED_NODE = "ControlNetLoaderAdvanced"


@dataclass(frozen=True, slots=True)
class Finding:
    """``what`` was found, ``why`` it would spoil a night, the ``remedy``; the last two are '' where
    all is fine.
    """

    area: str
    code: str
    severity: Severity
    what: str
    why: str = ""
    remedy: str = ""


def fine(area: str, code: str, what: str) -> Finding:
    """That something is as it should be."""
    return Finding(area, code, "fine", what)


def unseen(area: str, why: str) -> Finding:
    """That something could not be looked at."""
    text = "What is wrong there would show at night only."
    remedy = "Look at it yourself, or run `nightpress doctor` again."
    return Finding(area, "UNSEEN", "unknown", f"It could not be seen: {why}", text, remedy)


def symptom(area: str, code: str, text: str, severity: Severity = "bad") -> Finding:
    """A trouble that the daemon would hold jobs for, as it would say it."""
    told = diagnosis(code)
    return Finding(area, code, severity, text, f"Jobs wait: {told.title}.", told.first_check)


def engine_findings(facts: EngineFacts, *, outside: str, mac: bool) -> Iterator[Finding]:
    """Of a ComfyUI that answers (A1.7, N2.2). ``outside``: another address of this machine at which
    it answers too, '' = none.
    """
    area = "engine"
    what = f"{facts.name} {facts.version} on {facts.device_type}, torch {facts.torch}"
    yield device_finding(what, facts.device_type, mac=mac)
    if outside:
        yield Finding(
            area,
            "ENGINE_EXPOSED",
            "bad",
            f"It answers at {outside} too",
            "Everybody in this network can use it, and read files through it.",
            "Start it with --listen 127.0.0.1.",
        )
    for text in concerns(facts.argv, mode=facts.mode or "external"):
        # The sentence says what is wrong, why, and what to do.
        yield Finding(area, "ENGINE_FLAGS", "warn", text)


def device_finding(what: str, device: str, *, mac: bool) -> Finding:
    """Of what a ComfyUI computes on (A1.7)."""
    if device == "mps" or not mac:
        return fine("engine", "ENGINE_READY", what)
    why = "Not on mps, a picture takes minutes, so nothing is sent to it."
    remedy = "Look in ComfyUI's log for why MPS is not used; take --cpu out of its arguments."
    return Finding("engine", "ENGINE_ON_CPU", "bad", what, why, remedy)


def startable(program: str) -> Finding:
    """That a ComfyUI of ours has all that it takes to be started."""
    return fine("engine", "ENGINE_STARTS", f"{program} can be started")


def damaged(text: str) -> Finding:
    """That the ledger cannot be read, and where."""
    remedy = "`nightpress verify` says what is lost and which command brings it back."
    return Finding("ledger", "LEDGER_DAMAGED", "bad", text, "The daemon would not start.", remedy)


def nodes_finding(*, there: bool, allowed: bool, imported: bool | None) -> Finding:
    """Of Advanced-ControlNet, which no template of ours needs (V4). ``imported`` None: unseen."""
    area, code = "engine", "ADVANCED_CONTROLNET"
    trial = 'A panel job with workflow = "canny" and a [controlnet] tries the chain.'
    if not there:
        return fine(area, code, f"{ADVANCED} is not installed; core nodes guide panels. {trial}")
    if not allowed:
        what = f"{ADVANCED} is installed and not loaded"
        why = "A template with its nodes would fail."
        remedy = f'If one has them: custom_nodes = {{ "{ADVANCED}" = "a note" }} in [comfyui].'
        return Finding(area, code, "warn", what, why, remedy)
    if imported is None:
        return Finding(
            area, code, "unknown", f"{ADVANCED} is allowed; no server says more", "", trial
        )
    if imported:
        return fine(area, code, f"{ADVANCED} is loaded. {trial}")
    why = "Every job whose template has its nodes fails."
    remedy = "Read the import error in ComfyUI's log; update the pack, or take it out."
    return Finding(area, code, "bad", f"{ADVANCED} did not import", why, remedy)


def trainer_findings(facts: TrainerFacts, unfit: str) -> Iterator[Finding]:
    """Of a trainer that answers (V2, K1.3)."""
    area = "trainer"
    packages = [
        f"{name} {facts.packages[name]}"
        for name in ("torch", "accelerate")
        if name in facts.packages
    ]
    words = (facts.name, facts.commit[:8], facts.device and f"on {facts.device}")
    what = ", ".join((" ".join(filter(None, words)), *packages))
    if unfit:
        yield symptom(area, "TRAINER_UNFIT", unfit)
    elif facts.unknown:
        yield Finding(area, "TRAINER_UNKNOWN", "unknown", f"{what}: {facts.unknown}")
    else:
        yield fine(area, "TRAINER_READY", f"{what}; its options are those that nightpress writes")


def model_findings(
    models: Sequence[tuple[str, str, str, bool | None, Sequence[str]]],
) -> Iterator[Finding]:
    """Of the model files: role, name, refusal, whether the hash is the expected one, warnings."""
    area = "models"
    roles = {role for role, _, refusal, _, _ in models if not refusal}
    for role, folder in (("checkpoint", "checkpoints"), ("vae", "vae")):
        if role not in roles:
            why = "Every job names one."
            remedy = (
                f"Put a .safetensors file into models/{folder}; the README says how to load it."
            )
            yield Finding(area, "MODEL_MISSING", "bad", f"There is no {role} to use", why, remedy)
    for role, name, refusal, expected, warnings in models:
        if expected is False:
            why = "Jobs that name it are refused."
            remedy = "Load it again from its page, or mend [models] in nightpress.toml."
            what = f"{role} {name} has not the SHA-256 that is expected of it"
            yield Finding(area, "HASH_MISMATCH", "bad", what, why, remedy)
        elif refusal:
            yield Finding(area, "MODEL_REFUSED", "warn", f"{role} {name}: {refusal}")
        for warning in warnings:
            yield Finding(area, "MODEL_DOUBT", "warn", f"{role} {name}: {warning}")
    if roles:
        usable = sum(not refusal for _, _, refusal, _, _ in models)
        yield fine(area, "MODELS", f"{counted(usable, 'model')} to use")


def hours_findings(state: State, policy: Policy, *, at: int) -> Iterator[Finding]:
    """Of the windows against what waits, and what was trained last (V3)."""
    area, windows = "hours", policy.training_windows
    begins = opens(windows, at)
    if begins is None:
        why = 'Trainings with when = "night" never start.'
        remedy = 'Write [windows] training = ["22:00-07:00"].'
        yield Finding(area, "NO_WINDOW", "bad", "There is no training window", why, remedy)
        return
    jobs = [state.jobs[name] for name in (*state.queue, *list(state.ended)[-20:])]
    for job in [job for job in jobs if isinstance(job.spec, TrainSpec)][:3]:
        yield _fit(job, state, policy, begins)
    if windows.spans == ALWAYS.spans:
        yield fine(area, "WINDOWS", "Trainings may run at any hour")
    else:
        yield fine(area, "WINDOWS", f"The next training window opens {clock_text(windows, begins)}")


def _fit(job: Job, state: State, policy: Policy, begins: int) -> Finding:
    """How much of one training the next window holds; of one that has ended, of its like."""
    again = job if job.open else job._replace(checkpoints={})
    found = share(again, state, policy, at=begins)
    per_epoch = f"{lasting(found.epoch_s)} an epoch"
    if found.epochs:
        return fine(
            "hours",
            "NIGHT_FITS",
            f"{job.id}: {found.epochs} of {found.left} epochs a night, {per_epoch}",
        )
    return Finding(
        "hours",
        "WINDOW_SHORT",
        "bad",
        f"{job.id}: no epoch fits the next window ({per_epoch})",
        "It would wait for ever.",
        "Widen [windows] training, or lower save_every.",
    )


def reference_findings(known: Reference | None, *, at: int) -> Iterator[Finding]:
    """Of the reference run that is true for what draws now (V1, V3); None: there is none."""
    area, remedy = "reference run", "Run `nightpress calibrate`."
    why = "A slow fall-back to the CPU shows first when a chapter is due."
    if known is None:
        what = "None was made with the engine, torch and flags as they are now"
        yield Finding(area, "NO_REFERENCE", "warn", what, why, remedy)
        return
    what = f"{known.seconds:.0f} s for 512x512 and 20 steps ({known.verdict}, {known.job})"
    if known.verdict != "good":
        yield Finding(
            area, "SLOW_CPU_FALLBACK", "bad", what, why, diagnosis("SLOW_CPU_FALLBACK").first_check
        )
    elif at - known.at > _OLD_MS:
        yield Finding(area, "OLD_REFERENCE", "warn", f"{what}, two months ago", why, remedy)
    else:
        yield fine(area, "REFERENCE", what)


def lately_findings(
    failed: Mapping[str, Sequence[str]], incidents: Mapping[str, int]
) -> Iterator[Finding]:
    """Of the last day: jobs that failed, by code; how often each incident was."""
    area = "last night"
    for code, jobs in failed.items():
        told = diagnosis(code)
        what = f"{some(jobs)}: {told.title}"
        yield Finding(
            area, code or "FAILED", "bad", what, "It would happen again.", told.first_check
        )
    for code, times in incidents.items():
        told = diagnosis(code)
        count = f" ({times} times)" if times > 1 else ""
        yield Finding(area, code, "warn", f"{told.title}{count}", "", told.first_check)
    if not failed and not incidents:
        yield fine(area, "QUIET", "Nothing failed in the last 24 hours")


def health_document(findings: Sequence[Finding]) -> Sequence[Mapping[str, str]]:
    """The findings for programs, the worst first."""
    return [asdict(each) for each in sorted(findings, key=lambda f: ORDER.index(f.severity))]
