"""The face: all that the ledger knows of one job, as one document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from daemon.cli.folded import entries, find, host_of
from daemon.core.events import AttemptEnded, AttemptStarted, Entry
from daemon.core.jobs import PanelSpec, Spec
from daemon.core.state import Job, State, apply
from daemon.craft.diagnosis import first_check
from daemon.wire.instants import instant_text
from daemon.wire.status import Document, sentence


def job_document(studio: Path, name: str) -> Document:
    """The job of this id, or the newest of this name. Raises ``Bad`` when there is none."""
    state = State()
    attempts: dict[str, list[Entry]] = {}
    for entry in entries(studio, host_of(studio)):
        apply(state, entry)
        match entry.event:
            case AttemptStarted(job=job) | AttemptEnded(job=job):
                attempts.setdefault(job, []).append(entry)
            case _:
                pass
    found = find(state, name)
    return {
        "job": found.id,
        "kind": found.kind,
        "phase": found.phase.value,
        "code": found.code,
        "sentence": sentence(found),
        "first_check": first_check(found.code),
        "warnings": list(found.warnings),
        "ref": found.ref,
        "priority": found.priority,
        "accepted_at": instant_text(found.accepted_at),
        "changed_at": instant_text(found.changed_at),
        "folder": f"outbox/{found.id}",
        "file": asdict(found.file),
        "spec": _plain(asdict(found.spec)),
        "request": found.request,
        "attempts": _attempts(attempts.get(found.id, [])),
        "images": list(_images(found)),
        "models": _models(state, found.spec),
        "files": dict(found.files),
    }


def _plain(value: object) -> object:
    """Tuples as lists, so that the document looks the same before and after JSON."""
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case tuple() | list():
            return [_plain(item) for item in value]
        case _:
            return value


def _attempts(of_job: Iterable[Entry]) -> list[dict[str, object]]:
    found: dict[int, dict[str, object]] = {}
    for entry in of_job:
        match entry.event:
            case AttemptStarted(attempt=attempt, engine=engine):
                at = instant_text(entry.at)
                found[attempt] = {"attempt": attempt, "engine": engine, "started_at": at}
            case AttemptEnded() as ended:
                found.setdefault(ended.attempt, {"attempt": ended.attempt}).update(
                    ended_at=instant_text(entry.at),
                    outcome=ended.outcome.value,
                    code=ended.code,
                    evidence=ended.evidence,
                )
            case _:
                pass
    return list(found.values())


def _images(job: Job) -> Iterator[Mapping[str, object]]:
    if isinstance(job.spec, PanelSpec):
        for number, seed in enumerate(job.spec.seeds, start=1):
            image = job.images.get(number)
            yield {
                "image": number,
                "seed": seed,
                "prompt_id": image.prompt_id if image else "",
                "verdict": image.verdict if image else "",
                "sha256": image.sha256 if image else "",
            }


def _models(state: State, spec: Spec) -> list[dict[str, object]]:
    """The recorded facts of the models that a panel names, as they were at their last use."""
    if not isinstance(spec, PanelSpec):
        return []
    named = [("checkpoint", spec.checkpoint), ("vae", spec.vae)]
    named += [("lora", lora.name) for lora in spec.loras]
    named += [("controlnet", spec.controlnet.model)] if spec.controlnet else []
    return [asdict(state.models[key]) for key in named if key in state.models]
