"""Spells job files: the bytes of a dropped file become what is asked for, or why it is not done.

Law: any bytes lead to a value, quickly, and all wrong keys of a file are told at once, each with
its line, its key, the limit with its reason, and what to write instead. A last line ``end = true``
(a program's sign that the file is whole) is not part of the job, whichever table is above it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, ValidationInfo

from daemon.core.ids import split_job
from daemon.core.jobs import Asked, Complaint, Control, ControlKind
from daemon.core.policy import Policy
from daemon.wire import panel_file, train_file
from daemon.wire.calibrate_file import CalibrateFile
from daemon.wire.complaints import STRICT, between, checked, described, fault, nearest
from daemon.wire.name_rules import Ref, ref_fault
from daemon.wire.panel_file import PanelFile
from daemon.wire.text import excerpt
from daemon.wire.toml_file import Unreadable, read_toml
from daemon.wire.toml_lines import Outline
from daemon.wire.train_file import TrainFile, without_resolution

_ABOUT_ONE = ("cancel", "retry", "approve")
_ABOUT_A_LOCK = ("reproduce", "calibrate")
_CONTROLS = (*_ABOUT_ONE, *_ABOUT_A_LOCK, "pause", "resume", "prune")
_KINDS = ("panel", "train", *_CONTROLS)

_LOCK = "outbox/ch01_p003_v1/ch01_p003_v1.lock.toml"
_MARK = re.compile(rb"[ \t]*end[ \t]*=[ \t]*true[ \t]*(?:#.*)?")
_REF_LINE = re.compile(r'\s*ref\s*=\s*"([^"\\]*)"\s*(?:#.*)?')


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that asks for nothing that can be done. ``ref`` is the asker's, '' when not told."""

    ref: str
    errors: tuple[Complaint, ...]


def _which(job: str, info: ValidationInfo) -> str:
    kind = info.data.get("kind")
    if kind in _ABOUT_A_LOCK and job:
        raise fault(
            f'{kind} is about one picture: write its lock, for example lock = "{_LOCK}", and remove'
            " this line."
        )
    if kind not in _ABOUT_ONE and job:
        raise fault(
            f"{kind} is about the whole queue, not about one job. Remove the line, or write "
            'kind = "cancel" to stop this job.'
        )
    if kind in _ABOUT_ONE and split_job(job) is None:
        what = f'"{excerpt(job)}" is no job.' if job else f"`job` is missing: {kind} which?"
        raise fault(
            f"{what} A job is a name with its number, as status and outbox/ show it. "
            'Write for example: job = "ch01_p003_v1"'
        )
    return job


def _of_a_lock(lock: str, info: ValidationInfo) -> str:
    kind = info.data.get("kind")
    if lock and kind not in _ABOUT_A_LOCK:
        raise fault(f"{kind} is not about a lock file. Remove the line.")
    if kind in _ABOUT_A_LOCK and not lock:
        raise fault(f'`lock` is missing: {kind} which picture? Write for example: lock = "{_LOCK}"')
    return lock


def _of_approval(number: int | None, info: ValidationInfo) -> int | None:
    if number is not None and info.data.get("kind") != "approve":
        raise fault(
            f"{info.data.get('kind')} is not about one result of a job. Remove the line, or write "
            'kind = "approve" to choose this result.'
        )
    return number


def _one_of_two(checkpoint: int | None, info: ValidationInfo) -> int | None:
    if info.data.get("kind") != "approve" or "image" not in info.data:
        return checkpoint
    if (info.data["image"] is None) == (checkpoint is None):
        what = "Approve which result?" if checkpoint is None else "Here are both: remove one."
        raise fault(
            f"{what} A panel's picture is chosen by its number: image = 1. A training's checkpoint "
            "is chosen by its step, as outbox/ shows it: checkpoint = 792"
        )
    return checkpoint


Picture = Annotated[int, between(1, "max_pictures", "pictures are numbered from 1")]
Step = Annotated[int, between(1, 999_999, "the step in the checkpoint's file name")]


class ControlFile(BaseModel):
    """A file that speaks of jobs."""

    model_config = STRICT
    kind: ControlKind
    ref: Ref = Field(default="", examples=["run-7/ch01/3"])
    job: Annotated[str, AfterValidator(_which)] = Field(default="", examples=["ch01_p003_v1"])
    lock: Annotated[str, AfterValidator(_of_a_lock)] = Field(default="", examples=[_LOCK])
    image: Annotated[Picture | None, AfterValidator(_of_approval)] = Field(None, examples=[1])
    checkpoint: Annotated[
        Step | None, AfterValidator(_of_approval), AfterValidator(_one_of_two)
    ] = Field(None, examples=[792])

    def control(self) -> Control:
        """What this file says."""
        return Control(
            self.kind, self.job, self.image or 0, self.checkpoint or 0, self.lock, self.ref
        )


def read_job_file(data: bytes, *, stem: str, policy: Policy) -> Asked | Control | Refused:
    """What the file asks for. ``stem`` is the file's name without .toml: the default job name."""
    limit = policy.max_job_file_bytes
    read = read_toml(data if len(data) > limit else _without_mark(data), max_bytes=limit)
    if isinstance(read, Unreadable):
        return Refused(_ref_in(read), _cut(read.complaints, policy))
    # The mark is told above its last place too, where a table that follows cannot swallow it.
    table = {key: read.table[key] for key in read.table if (key, read.table[key]) != ("end", True)}
    answer = _judged(table, read.outline, stem, policy)
    if not isinstance(answer, list):
        return answer
    ref = table.get("ref")
    shown = ref if isinstance(ref, str) and not ref_fault(ref) else ""
    return Refused(shown, _cut(answer, policy))


def table_of(request: str) -> Mapping[str, object]:
    """The keys of a request that was accepted, without the sign that its file was whole."""
    table = tomllib.loads(_without_mark(request.encode()).decode().replace("\r\n", "\n"))
    return {key: table[key] for key in table if (key, table[key]) != ("end", True)}


def _without_mark(data: bytes) -> bytes:
    """The file without a last line ``end = true``."""
    above, _, last = data.rstrip().rpartition(b"\n")
    return above if above and _MARK.fullmatch(last) else data


def _judged(
    given: Mapping[str, object], outline: Outline, stem: str, policy: Policy
) -> Asked | Control | list[Complaint]:
    kind = given.get("kind")
    if kind == "panel":
        table, unknown = {"panel": stem, **given}, panel_file.UNKNOWN
        panel = checked(PanelFile, table, outline=outline, unknown=unknown, policy=policy)
        return panel if isinstance(panel, list) else panel.asked(policy)
    if kind == "train":
        table, unknown = {"lora": stem, **without_resolution(given)}, train_file.UNKNOWN
        train = checked(TrainFile, table, outline=outline, unknown=unknown, policy=policy)
        return train if isinstance(train, list) else train.asked()
    if kind == "calibrate" and "lock" not in given:
        run = checked(CalibrateFile, given, outline=outline, unknown={}, policy=policy)
        return run if isinstance(run, list) else run.asked()
    if kind in _CONTROLS:
        control = checked(ControlFile, given, outline=outline, unknown={}, policy=policy)
        return control if isinstance(control, list) else control.control()
    likely = _likely_kind(given)
    complaint = Complaint(outline.line_of(("kind",)), "kind", _kind_sentence(given, likely))
    # What else is wrong, where the other keys leave no doubt about the kind.
    other = _judged({**given, "kind": likely}, outline, stem, policy) if likely else []
    return [complaint, *(other if isinstance(other, list) else [])]


def _likely_kind(table: Mapping[str, object]) -> str:
    """What the other keys say that this is; '' when they do not say."""
    if not table.keys().isdisjoint(("trigger", "dataset", "network_dim", "regularization")):
        return "train"
    return "" if table.keys().isdisjoint(("prompt", "panel", "controlnet", "cfg")) else "panel"


def _kind_sentence(table: Mapping[str, object], likely: str) -> str:
    likely = likely or "panel"
    if "kind" not in table:
        return f'`kind` is missing: what is this? Write as the first line: kind = "{likely}"'
    kind = table["kind"]
    meant = nearest(kind, _KINDS) if isinstance(kind, str) else ""
    return (
        f"`kind` is one of {', '.join(_KINDS)}, not {described(kind)}. "
        f'Write: kind = "{meant or likely}"'
    )


def _cut(complaints: Iterable[Complaint], policy: Policy) -> tuple[Complaint, ...]:
    """In the order of the file (what concerns no line last), as many as a person reads."""
    found = sorted(dict.fromkeys(complaints), key=lambda told: (told.line == 0, told.line))
    limit = policy.max_complaints
    if len(found) <= limit:
        return tuple(found)
    text = f"And {len(found) - limit + 1} more mistakes. Mend these first, then drop it again."
    return (*found[: limit - 1], Complaint(0, "", text))


def _ref_in(lost: Unreadable) -> str:
    """The reference in a file that is no TOML, where its line at least can be read."""
    line = lost.outline.lines.get(("ref",), 0) if lost.outline else 0
    found = _REF_LINE.fullmatch(lost.text.split("\n")[line - 1]) if line else None
    return found[1] if found and not ref_fault(found[1]) else ""
