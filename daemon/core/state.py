"""Where every job stands: a fold of the ledger, and of nothing else.

Law: ``fold(entries)`` is the same however the entries are cut into batches, and needs no settings.
An event copies one job, never the dictionary of jobs.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, MutableMapping
from dataclasses import asdict, dataclass, field, fields, replace

from daemon.core.environment import (
    ENVIRONMENT,
    SETUP,
    Environment,
    Setup,
    environment_of,
    setup_of,
)
from daemon.core.events import (
    AttemptEnded,
    AttemptStarted,
    CalibrationMeasured,
    CheckpointSaved,
    ControlTaken,
    DaemonStarted,
    Entry,
    ImageJudged,
    JobAccepted,
    JobApproved,
    JobDuplicate,
    JobEnded,
    JobRejected,
    LoraInstalled,
    PromptSent,
    ResultPublished,
)
from daemon.core.evolve import evolve
from daemon.core.ids import is_rehearsal, lora_file, split_job
from daemon.core.job import Job
from daemon.core.jobs import (
    QUALITY_CODES,
    Engine,
    FileFacts,
    JobId,
    Kind,
    ModelFacts,
    Outcome,
    TrainSpec,
)
from daemon.core.needs import configuration, kin
from daemon.core.pruning import targets
from daemon.core.reference import Reference, projected_s
from daemon.core.shelf import Shelf
from daemon.core.stages import PROBE, pace_of
from daemon.core.tools import EngineRecorded, ModelRecorded

REFUSALS_KEPT = 200
"""How many of the latest refused files status can still tell of."""
ENDED_KEPT = 400
"""How many of the jobs that ended last are named; status tells of 200, some may be retried."""


Drop = tuple[str, int, int, int]
"""What makes a drop the same drop: sha256, inode, mtime in ns, size in bytes."""


def drop_of(file: FileFacts) -> Drop:
    """The identity of a drop: a file saved again is another one."""
    return (file.sha256, file.inode, file.mtime_ns, file.size)


Fact = Engine | ModelFacts
"""What a line records once, and later lines name by its seq."""


def key_of(fact: Fact) -> tuple[str, str]:
    """What a later line of the same thing replaces: role and name."""
    return ("engine", "") if isinstance(fact, Engine) else (fact.role, fact.name)


@dataclass(slots=True)
class State:
    """The fold. Only the loop changes one, by absorbing a draft whose entries are on the disk.

    ``queue`` are the open jobs, ``ended`` the latest to end, the last one last. ``running`` are
    the attempts that have begun and not ended, in the order in which the engine draws them.
    ``accepted`` counts the jobs ever accepted; ``drawn`` is whose attempt began last.
    ``losses`` counts the attempts lost in a row, whosever they were, since a person last acted.
    ``pruning`` is what a request has asked to be removed and is there still, with its file.
    ``installs`` are the approved checkpoints that the engine's folder is still to get, ``loras``
    each training's latest approved file, which a panel may name by the training. ``recorded`` are
    engines and models by the seq of the line that says what they were; ``latest`` the last such
    line of each, by role and name. ``learnt`` counts how often a rung of the ladder was tried in an
    environment, and how often the picture was good then; ``calibrated`` by how much one seed drawn
    several times differed from itself there (mean difference, 0..255). ``references`` are the
    latest reference runs by what they are true for. ``weighed`` is what an
    attempt of a configuration was last predicted to take and took, in bytes; of its kin too.
    ``paces``: what a pass of a training like that took last, in awake seconds.
    """

    jobs: MutableMapping[JobId, Job] = field(default_factory=Shelf)
    queue: dict[JobId, None] = field(default_factory=dict)
    ended: dict[JobId, None] = field(default_factory=dict)
    answered: MutableMapping[Drop, str] = field(default_factory=dict)
    numbers: MutableMapping[tuple[str, str], int] = field(default_factory=dict)
    kinds: MutableMapping[str, Kind] = field(default_factory=dict)
    requests: MutableMapping[str, JobId] = field(default_factory=dict)
    recorded: MutableMapping[int, Fact] = field(default_factory=dict)
    latest: MutableMapping[tuple[str, str], int] = field(default_factory=dict)
    learnt: MutableMapping[tuple[Environment, str], tuple[int, int]] = field(default_factory=dict)
    calibrated: MutableMapping[Environment, float] = field(default_factory=dict)
    references: MutableMapping[Setup, Reference] = field(default_factory=dict)
    weighed: MutableMapping[str, tuple[int, int]] = field(default_factory=dict)
    paces: MutableMapping[str, float] = field(default_factory=dict)
    loras: MutableMapping[JobId, str] = field(default_factory=dict)
    running: tuple[JobId, ...] = ()
    paused: bool = False
    drew_for_real: bool = False
    accepted: int = 0
    drawn: JobId | None = None
    losses: int = 0
    installs: dict[tuple[JobId, int], None] = field(default_factory=dict)
    pruning: dict[str, FileFacts] = field(default_factory=dict)
    rejected: int = 0
    refusals: tuple[Entry, ...] = ()
    seq: int = 0

    @property
    def lease(self) -> JobId | None:
        """Who has the right to the GPU. Those that run after it are pictures that are made ready
        while it draws, and take its place when it has left the engine."""
        return self.running[0] if self.running else None

    def draft(self) -> State:
        """A working copy that shares what it does not change: O(open jobs), not O(jobs)."""
        return replace(
            self,
            queue=dict(self.queue),
            ended=dict(self.ended),
            installs=dict(self.installs),
            pruning=dict(self.pruning),
            jobs=ChainMap({}, self.jobs),
            answered=ChainMap({}, self.answered),
            numbers=ChainMap({}, self.numbers),
            kinds=ChainMap({}, self.kinds),
            requests=ChainMap({}, self.requests),
            recorded=ChainMap({}, self.recorded),
            latest=ChainMap({}, self.latest),
            learnt=ChainMap({}, self.learnt),
            calibrated=ChainMap({}, self.calibrated),
            references=ChainMap({}, self.references),
            weighed=ChainMap({}, self.weighed),
            paces=ChainMap({}, self.paces),
            loras=ChainMap({}, self.loras),
        )

    def absorb(self, draft: State) -> None:
        """Believe a draft of this state, once its entries are durable."""
        for part in fields(self):
            ours, theirs = getattr(self, part.name), getattr(draft, part.name)
            if isinstance(theirs, ChainMap):
                ours.update(theirs.maps[0])
            else:
                setattr(self, part.name, theirs)


def fold(entries: Iterable[Entry], state: State | None = None) -> State:
    """The state after these entries."""
    state = state or State()
    for entry in entries:
        apply(state, entry)
    return state


def last_reference(state: State) -> Reference | None:
    """The reference run that is true for the engine that drew last."""
    engine = state.recorded.get(state.latest.get(("engine", ""), 0))
    return state.references.get(setup_of(engine)) if isinstance(engine, Engine) else None


def latest_model(state: State, role: str) -> str:
    """The model of this role that a job named last and that was new then; '' = none yet."""
    found = ((seq, name) for (its, name), seq in state.latest.items() if its == role)
    return max(found, default=(0, ""))[1]


def apply(state: State, entry: Entry) -> None:
    """Carry one entry into a state (a fresh one, or a draft)."""
    assert entry.seq == state.seq + 1, f"seq {entry.seq} after {state.seq}"
    state.seq = entry.seq
    event = entry.event
    match event:
        case PromptSent() | ImageJudged() | ResultPublished() | JobEnded():
            # The state at large learns nothing from the commonest.
            pass
        case JobAccepted():
            _accept(state, event)
        case JobRejected():
            state.answered[(event.sha256, event.inode, event.mtime_ns, event.size)] = "rejected"
            state.rejected += 1
            state.refusals = (*state.refusals[1 - REFUSALS_KEPT :], entry)
        case JobDuplicate(of=of, file=file):
            state.answered[drop_of(file)] = of
        case ControlTaken():
            _control(state, event)
        case AttemptStarted(job=job, engine=engine):
            state.running = (*state.running, job)
            state.drawn = job
            state.drew_for_real = state.drew_for_real or engine == "comfyui"
        case AttemptEnded(outcome=outcome, job=job):
            state.running = tuple(other for other in state.running if other != job)
            state.losses = state.losses + 1 if outcome is Outcome.LOST else 0
            _learn(state, event)
            _measure(state, event)
        case CheckpointSaved():
            state.losses = 0
            _pace(state, event)
        case DaemonStarted():
            state.losses = 0
        case JobApproved() | LoraInstalled():
            _choose_lora(state, event)
        case CalibrationMeasured():
            _calibrate(state, event, entry.at)
        case ModelRecorded() | EngineRecorded():
            _record(state, event)
        case _:
            pass
    _apply_to_job(state, entry)


def _accept(state: State, event: JobAccepted) -> None:
    _number(state, event.job, event.kind)
    state.accepted += 1
    state.requests[event.file.sha256] = event.job
    state.answered[drop_of(event.file)] = event.job


def _record(state: State, event: ModelRecorded | EngineRecorded) -> None:
    kind = ModelFacts if isinstance(event, ModelRecorded) else Engine
    fact: Fact = kind(**asdict(event))
    state.recorded[state.seq] = fact
    state.latest[key_of(fact)] = state.seq


def _control(state: State, event: ControlTaken) -> None:
    state.answered[drop_of(event.file)] = "control"
    state.losses = 0
    if not event.error and event.kind in ("pause", "resume"):
        state.paused = event.kind == "pause"
    elif event.kind == "prune" and event.job:
        state.pruning.pop(event.job, None)
    elif event.kind == "prune":
        state.pruning = dict.fromkeys(targets(state), event.file)


def _calibrate(state: State, event: CalibrationMeasured, at: int) -> None:
    told = event.environment
    name, version, torch, system, device = (told.get(key, "") for key in ENVIRONMENT)
    state.calibrated[name, version, torch, system, device] = event.variance
    if event.verdict and state.lease is not None:
        seconds = projected_s(event.times, event.steps_s)
        setup = tuple(told.get(key, "") for key in SETUP)
        state.references[setup] = Reference(state.lease, seconds, event.verdict, at)


def _learn(state: State, ended: AttemptEnded) -> None:
    """Count a rung by what its attempt drew; one that drew nothing says nothing about precision."""
    job = state.jobs.get(ended.job)
    good = ended.outcome is Outcome.SUCCEEDED
    if job is None or not job.on_a_rung or not (good or ended.code in QUALITY_CODES):
        return
    lines = [image.judged.event for image in job.images.values() if image.judged]
    judged = [line for line in lines if isinstance(line, ImageJudged)]
    engines = [line.engine for line in judged if line.attempt == ended.attempt]
    engine = state.recorded.get(engines[-1]) if engines else None
    if isinstance(engine, Engine):
        key = (environment_of(engine), job.profile)
        tries, mended = state.learnt.get(key, (0, 0))
        state.learnt[key] = (tries + 1, mended + good)


def _measure(state: State, ended: AttemptEnded) -> None:
    """What was cut short says only what it took at least; how fast it was, it says all the same;
    but a run that was to try it has to be over well, or it is tried again (K3.1).
    """
    job = state.jobs.get(ended.job)
    if job is not None and (job.stage != PROBE or ended.outcome is Outcome.SUCCEEDED):
        _pace(state, ended)
    if job is None or not job.need_bytes or not ended.peak_bytes:
        return
    if ended.outcome is Outcome.SUCCEEDED or ended.peak_bytes > job.need_bytes:
        for key in (configuration(job), kin(job)):
            state.weighed[key] = (job.need_bytes, ended.peak_bytes)


def _pace(state: State, told: CheckpointSaved | AttemptEnded) -> None:
    job = state.jobs.get(told.job)
    if job is not None and isinstance(job.spec, TrainSpec) and told.step_s > 0:
        state.paces[pace_of(job)] = told.step_s / job.spec.gradient_accumulation


def _apply_to_job(state: State, entry: Entry) -> None:
    event = entry.event
    name = JobId(getattr(event, "job", ""))
    if not name or (isinstance(event, ControlTaken) and event.error):
        return
    if isinstance(event, ControlTaken) and event.kind == "prune" and name not in state.jobs:
        return  # Leavings of no job.
    job = evolve(state.jobs.get(name), entry)
    if isinstance(event, JobAccepted):
        job = job._replace(place=state.accepted)
    state.jobs[job.id] = job
    if isinstance(event, JobEnded):
        state.queue.pop(job.id, None)
        _end(state, job.id)
    elif job.id not in state.queue and (job.open or isinstance(event, JobAccepted)):
        state.queue[job.id] = None
        state.ended.pop(job.id, None)


def _end(state: State, job: JobId) -> None:
    state.ended.pop(job, None)
    state.ended[job] = None
    if len(state.ended) > ENDED_KEPT:
        del state.ended[next(iter(state.ended))]


def _choose_lora(state: State, event: JobApproved | LoraInstalled) -> None:
    match event:
        case JobApproved(job=job, checkpoint=step) if step and is_rehearsal(job):
            # Nothing of it is installed; its engine makes a stage prop of that name.
            state.loras[job] = lora_file(job, step)
        case JobApproved(job=job, checkpoint=step) if step:
            state.installs[job, step] = None
        case LoraInstalled(job=job, sha256=sha256, file=file):
            state.loras[job] = file
            for step, checkpoint in state.jobs[job].checkpoints.items():
                if checkpoint.sha256 == sha256:
                    state.installs.pop((job, step), None)
        case _:
            pass


def _number(state: State, job: JobId, kind: Kind) -> None:
    parts = split_job(job)
    assert parts is not None, f"not a job id: {job}"
    name, letter, number = parts
    state.numbers[(name, letter)] = max(number, state.numbers.get((name, letter), 0))
    state.kinds[name] = kind
