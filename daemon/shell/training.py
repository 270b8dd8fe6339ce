"""Conducts one attempt at a training, from its documents to its end, over any number of daemons.

Law: an attempt ends in the ledger only when nobody has its lock any more, so two trainings never
run at once; and everything that is known of one is read from its folder, so that watching it can
begin anew at any moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from daemon.core.commands import (
    Command,
    ConfirmInstalled,
    ObserveTrainer,
    ReportEnded,
    ReportIncident,
)
from daemon.core.hurdles import heavy_text
from daemon.core.job import Job
from daemon.core.jobs import Outcome
from daemon.core.night import Standing
from daemon.core.stages import PROBE
from daemon.core.state import State
from daemon.craft.training_end import Ending, Verdict, verdict
from daemon.errors import WorldError
from daemon.shell.epochs import forget_state, is_whole, seal_state, source_of
from daemon.shell.machine_watch import MachineWatch
from daemon.shell.progress import Progress
from daemon.shell.training_folder import OUT, Attempt, attempts_of, file_or_none
from daemon.shell.training_orders import stop_order
from daemon.shell.training_probe import probed
from daemon.shell.training_result import approved_lora, publish_training
from daemon.shell.training_start import Workshop, prepare
from daemon.shell.training_watch import TrainingWatch
from daemon.wire.places import portable_text
from daemon.wire.sd_scripts import CONFIG, done_epochs
from daemon.wire.shim_record import (
    EXIT,
    MARKER,
    START,
    ExitRecord,
    StopOrder,
    read_exit,
    read_marker,
    read_start,
    stop_marker,
)
from daemon.wire.training_lock import result_name

log = logging.getLogger(__name__)

_POLL_S = 0.5
_GPU_S = 2.0
_ORPHAN_S = 10.0
_STOP_S = 120.0
_EVIDENCE_CHARS = 1_000
_UNSTARTED = {
    "DISK_FULL": Outcome.LOST,
    "ENGINE_MISSING": Outcome.STOPPED,
    "TRAINER_START": Outcome.LOST,
    "TRAINER_UNFIT": Outcome.STOPPED,
}
"""What keeps an attempt from starting and may be over at the next one; the rest is a failure."""
_CANCEL = StopOrder("CANCELLED", "Cancelled by you.")
_FOR_NOW = dict.fromkeys(("WINDOW_END", "MEMORY_PRESSURE", "ON_BATTERY"), Outcome.STOPPED)
_ORDERED = {
    **_UNSTARTED,
    **_FOR_NOW,
    _CANCEL.code: Outcome.CANCELLED,
    "TRAINER_SILENT": Outcome.LOST,
    "TRAINER_STALLED": Outcome.LOST,
}
"""What an attempt that we stopped for this reason counts as; any other is a failure."""
_NO_ROOM = Verdict(
    Outcome.LOST,
    "DISK_FULL",
    "The disk was full when the trainer ended, and so were its logs. Free some space.",
)
_DOUBTFUL = frozenset({Outcome.FAILED, Outcome.LOST})
_RESTARTED = Verdict(
    Outcome.LOST,
    "MACHINE_RESTARTED",
    "The machine was restarted while it trained. The next attempt goes on from the last epoch.",
)


class Training:
    """Runs and stops attempts at trainings, publishes and installs what they made. Stateless.

    ``released`` returns when the engine has let go of the GPU; ``machine`` knows whether it may go
    on.
    """

    def __init__(
        self,
        shop: Workshop,
        *,
        ask: Callable[[Command], Awaitable[None]],
        progress: Progress,
        released: Callable[[], Awaitable[None]],
        machine: MachineWatch,
    ) -> None:
        self._shop = shop
        self._disk = shop.disk
        self._trainer = shop.trainer
        self._ask = ask
        self._progress = progress
        self._released = released
        self._machine = machine

    async def run(self, job: Job) -> None:
        """Start the attempt or find it, follow it, report its end.

        What the world refuses while it runs is raised, and the effect asked for again: the training
        itself goes on, and an end that nobody has seen must not be reported.
        """
        attempt = attempts_of(job)[-1]
        if not await self._began(attempt):
            await self._released()
            await self._tell_of_programs(job)
            try:
                await self._start(attempt)
            except WorldError as error:
                if error.code == "TRAINER_UNFIT":  # Else it would be started again at once.
                    await self._ask(ObserveTrainer(error.code, error.text))
                await self._make_sure(attempt, StopOrder(error.code, error.text))
                outcome = _UNSTARTED.get(error.code, Outcome.FAILED)
                await self._report(attempt, Verdict(outcome, error.code, error.text))
                return
        try:
            watch = await self._watch(attempt)
            end = await self._follow(watch)
        finally:
            self._progress.report(None)
        if attempt.job.stage == PROBE and end.outcome is Outcome.SUCCEEDED:
            report = await probed(self._shop, watch, self._machine)
            # What it has learnt in a few minutes is nobody's.
            await self._disk.remove(attempt.path(OUT))
            await self._ask(report)
            return
        await self._report(attempt, end, step_s=watch.step_s)

    async def stop(self, job: Job) -> None:
        """End the attempt, wherever it is, and report that it was cancelled."""
        attempt = attempts_of(job)[-1]
        await self._make_sure(attempt, _CANCEL)
        await self._report(attempt, Verdict(Outcome.CANCELLED, _CANCEL.code, _CANCEL.text))

    async def publish(self, job: Job, state: State, *, host: str) -> Mapping[str, str]:
        """Put the result into the job's folder: name -> sha256. Raises as ``publish_training``."""
        places = self._shop.places
        files = await publish_training(self._disk, job, state, host=host, places=places)
        steps = [str(step) for step in job.checkpoints if result_name(job.id, step) not in files]
        if steps:
            text = (
                f"{job.id} is published without its checkpoints of step {', '.join(steps)}: their "
                "files are gone or are not those that were recorded."
            )
            await self._ask(ReportIncident("CHECKPOINT_GONE", text))
        return files

    async def install(self, job: Job, step: int) -> None:
        """Copy an approved checkpoint into the engine's folder, and report it."""
        name, data = await approved_lora(self._disk, job, step)
        await self._shop.weights.install(name, data)
        await self._ask(ConfirmInstalled(job.id, step, name, job.checkpoints[step].sha256))

    async def _began(self, attempt: Attempt) -> bool:
        """Whether a shim was ever given this attempt: it runs, or it has left a record."""
        began = await self._trainer.holder(attempt.folder) != "nobody"
        for name, read in ((START, read_start), (EXIT, read_exit)):
            data = await file_or_none(self._disk, attempt.path(name))
            # Read even when it runs: one of a newer release is not followed, and so not stopped.
            began |= read(data, nonce=attempt.nonce) is not None
        return began

    async def _tell_of_programs(self, job: Job) -> None:
        """What is open beside it, once a start: it may spoil the night (A2.10, K2.6)."""
        machine = await self._machine.beside()
        told = [f"{heavy_text(machine)} beside {job.id}"] if machine.programs else []
        if machine.users:
            told.append(f"{machine.users} others are logged in at this machine")
        if told and not self._shop.rehearsal:
            text = f"{', and '.join(told)}. What they use of the memory, the training may lack."
            await self._ask(ReportIncident("HEAVY_PROGRAMS", text))

    async def _start(self, attempt: Attempt) -> None:
        order = await prepare(self._shop, attempt, self._ask)
        while True:
            # After a restart the lease is ours, and the lock may be another studio's.
            if self._shop.gpu.try_take():
                break
            await asyncio.sleep(_GPU_S)
        await self._trainer.start(order)

    async def _make_sure(self, attempt: Attempt, order: StopOrder) -> None:
        """Nobody trains this attempt now, nor will: the marker stops a shim that only begins."""
        if await file_or_none(self._disk, attempt.path(MARKER)) is None:
            await self._disk.write(attempt.path(MARKER), stop_marker(order), synced=True)
        deadline_s = _now() + _STOP_S
        while (holder := await self._trainer.holder(attempt.folder)) != "nobody":
            if holder == "orphan":
                await self._end_orphan(attempt)
            if _now() > deadline_s:
                raise WorldError(
                    "TRAINER_BUSY",
                    f"A process still has the lock of {attempt.folder}, and it could not be "
                    "ended. Look for it (lsof on the file `alive` there) and end it by hand.",
                )
            await asyncio.sleep(_POLL_S)

    async def _end_orphan(self, attempt: Attempt) -> bool:
        """A trainer without its shim can never be known to have succeeded. Whether it is gone."""
        log.warning("%s: the training's shim was killed; ending the trainer", attempt.job.id)
        grace_s = self._shop.policy.training_grace_s
        folder, nonce = attempt.folder, attempt.nonce
        return await self._trainer.end_orphan(folder, nonce=nonce, grace_s=grace_s)

    async def _watch(self, attempt: Attempt) -> TrainingWatch:
        config = await file_or_none(self._disk, attempt.path(CONFIG))
        return TrainingWatch(self._disk, attempt, done_epochs(config or b""))

    async def _follow(self, watch: TrainingWatch) -> Verdict:
        attempt = watch.attempt
        heard_s, told = _now(), False
        if not await self._was_restarted(attempt):
            # Whoever watched it before may have died between a checkpoint's line and its seal.
            for epoch in watch.kept:
                await seal_state(self._disk, attempt, epoch, again=False)
        while True:
            # Asked before the logs are read: what they say after the last holder is gone is all.
            holder = await self._trainer.holder(attempt.folder)
            if await watch.catch_up():
                heard_s = _now()
            over = holder == "nobody"
            restarted = over and await self._was_restarted(attempt)
            reports = await watch.kept_epochs(over=over)
            for report in reports:
                await self._ask(report)
                if not restarted:  # A state says not itself whether it is whole.
                    await seal_state(self._disk, attempt, report.step // attempt.spec.epoch_steps)
            for concern in watch.concerns():
                await self._ask(concern)
            self._progress.report(watch.standing())
            if over:
                return await self._judged(watch, restarted=restarted)
            if holder == "orphan" and not await self._end_orphan(attempt):
                await asyncio.sleep(_ORPHAN_S)
            elif not told and (order := self._order(watch, bool(reports), _now() - heard_s)):
                await self._disk.write(attempt.path(MARKER), stop_marker(order), synced=True)
                told = True
            await asyncio.sleep(_POLL_S)

    def _order(self, watch: TrainingWatch, saved: bool, silent_s: float) -> StopOrder | None:
        """Why a training that runs is to be stopped; None while it may go on."""
        order = stop_order(watch, self._shop, silent_s=silent_s)
        for_now = self._machine.stop(watch.attempt.job, Standing(watch.epoch_s, saved=saved))
        return order or (StopOrder(for_now.code, for_now.text) if for_now else None)

    async def _judged(self, watch: TrainingWatch, *, restarted: bool) -> Verdict:
        """How the attempt ended, now that nobody has it any more."""
        attempt = watch.attempt
        data = await file_or_none(self._disk, attempt.path(EXIT))
        record = read_exit(data, nonce=attempt.nonce)
        if record is not None and record.error:
            return Verdict(Outcome.FAILED, "TRAINER_START", record.error)
        ending = await self._ending(record) if record else None
        spec = attempt.spec
        complete = await is_whole(self._disk, source_of(attempt, spec.epochs))
        end = verdict(watch.log.output.reading, ending, complete=complete)
        if record is not None and record.disk_full and end.code == "TRAINER_FAILED":
            return _NO_ROOM
        order = read_marker(await file_or_none(self._disk, attempt.path(MARKER)))
        if order is not None and end.outcome is Outcome.CANCELLED:
            return Verdict(_ORDERED.get(order.code, Outcome.FAILED), order.code, order.text)
        # A record is synced and the logs are not: after a power cut their silence proves nothing.
        doubtful = end.outcome in (Outcome.FAILED, Outcome.LOST)
        if doubtful and restarted:
            return _RESTARTED
        if end.code == "STATE_BROKEN":
            await forget_state(self._disk, attempt.job, watch.done)
        return end

    async def _ending(self, record: ExitRecord) -> Ending:
        evidence = await self._machine.kill_evidence(record) if record.killed else ""
        return Ending(record.code, record.signal, record.stopped, evidence)

    async def _was_restarted(self, attempt: Attempt) -> bool:
        data = await file_or_none(self._disk, attempt.path(START))
        start = read_start(data, nonce=attempt.nonce)
        return start is not None and start.boot != await self._trainer.boot()

    async def _report(self, attempt: Attempt, end: Verdict, *, step_s: float = 0.0) -> None:
        where = f" Its logs are in {attempt.folder}/." if end.outcome in _DOUBTFUL else ""
        text = portable_text(end.text, self._shop.places)[:_EVIDENCE_CHARS] + where
        peak_bytes = await self._machine.peak(attempt.job)
        job, number = attempt.job.id, attempt.number
        code = end.code
        await self._ask(ReportEnded(job, number, end.outcome, code, text, peak_bytes, step_s))


def _now() -> float:
    return asyncio.get_running_loop().time()
