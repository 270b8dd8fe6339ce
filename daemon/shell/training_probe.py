"""Tells what the short run before a training's first night has shown (K3.1)."""

from __future__ import annotations

from daemon.core.commands import ReportEnded
from daemon.core.jobs import Outcome
from daemon.core.night import beginning_s
from daemon.craft.probe_gates import Tried, gates
from daemon.shell.machine_watch import MachineWatch
from daemon.shell.training_start import Workshop
from daemon.shell.training_watch import TrainingWatch

_EVIDENCE_CHARS = 1_000


async def probed(shop: Workshop, watch: TrainingWatch, machine: MachineWatch) -> ReportEnded:
    """The end of a run that did well: the training may begin, or it never will as it is."""
    job, number, output = watch.attempt.job, watch.attempt.number, watch.log.output
    peak_bytes = await machine.peak(job)
    tried = Tried(
        device=output.reading.device,
        step_s=watch.step_s,
        peak_bytes=peak_bytes,
        total_bytes=machine.machine.total_bytes or 0,
        losses=tuple(loss for _, loss in sorted(output.losses.items())),
        start_s=beginning_s(job, shop.policy),
    )
    found = gates(
        tried,
        watch.attempt.spec,
        shop.policy,
        gpu=shop.gpu_expected,
        window_s=machine.window_s(job),
    )
    outcome, code = Outcome.SUCCEEDED, ""
    text = f"Tried: {'; '.join(gate.text for gate in found)}."
    closed = [gate for gate in found if gate.code]
    if closed:
        outcome, code = Outcome.FAILED, closed[0].code
        text = f"It is not begun, for {closed[0].text}. {text}"
    evidence = text[:_EVIDENCE_CHARS]
    return ReportEnded(job.id, number, outcome, code, evidence, peak_bytes, watch.step_s)
