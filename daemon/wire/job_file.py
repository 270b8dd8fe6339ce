"""Spells job files: the bytes of a dropped file become what is asked for, or the reasons why not.

Law: any bytes lead to a value, quickly, and all mistakes of a file are told at once, each with its
line, its key, the limit with its reason, and what to write instead. A last line ``end = true``
(a program's sign that the file is whole) is not part of the job, whichever table is above it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from daemon.core.ids import split_job
from daemon.core.jobs import Asked, Complaint, Control
from daemon.core.policy import Policy
from daemon.wire.complaints import complaints_of, described, nearest
from daemon.wire.given import Fault, Given
from daemon.wire.job_models import ControlFile, PanelFile, TrainFile
from daemon.wire.job_specs import panel_asked, train_asked
from daemon.wire.name_rules import ref_fault
from daemon.wire.panel_rules import UNKNOWN as PANEL_UNKNOWN
from daemon.wire.panel_rules import panel_faults, panel_warnings
from daemon.wire.text import excerpt
from daemon.wire.toml_file import Unreadable, read_toml
from daemon.wire.toml_lines import Outline, dotted
from daemon.wire.train_rules import RESOLUTION_KEYS, resolution_faults, train_faults, train_warnings
from daemon.wire.train_rules import UNKNOWN as TRAIN_UNKNOWN

_ABOUT_ONE = ("cancel", "retry")
_ABOUT_ALL = ("pause", "resume")
_LATER = ("approve", "reproduce", "calibrate", "prune")
_KINDS = ("panel", "train", *_ABOUT_ONE, *_ABOUT_ALL)

_MARK = re.compile(rb"[ \t]*end[ \t]*=[ \t]*true[ \t]*(?:#.*)?")
_REF_LINE = re.compile(r'\s*ref\s*=\s*"([^"\\]*)"\s*(?:#.*)?')

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that asks for nothing that can be done. ``ref`` is the asker's, '' when not told."""

    ref: str
    errors: tuple[Complaint, ...]


@dataclass(frozen=True, slots=True)
class _Page:
    """A file that is TOML, and what is needed to judge it."""

    given: Given
    outline: Outline
    stem: str
    policy: Policy


def read_job_file(data: bytes, *, stem: str, policy: Policy) -> Asked | Control | Refused:
    """What the file asks for. ``stem`` is the file's name without .toml: the default job name."""
    limit = policy.max_job_file_bytes
    read = read_toml(data if len(data) > limit else _without_mark(data), max_bytes=limit)
    if isinstance(read, Unreadable):
        return Refused(_ref_in(read), _cut(read.complaints, policy))
    return _judged(_Page(Given(read.table), read.outline, stem, policy))


def _without_mark(data: bytes) -> bytes:
    """The file without a last line ``end = true``."""
    above, _, last = data.rstrip().rpartition(b"\n")
    return above if above and _MARK.fullmatch(last) else data


def _judged(page: _Page) -> Asked | Control | Refused:
    kind = page.given.table.get("kind")
    if kind == "panel":
        return _panel(page)
    if kind == "train":
        return _train(page)
    if kind in _ABOUT_ONE or kind in _ABOUT_ALL:
        return _control(page)
    complaint = Complaint(page.outline.line_of(("kind",)), "kind", _kind_sentence(page.given))
    later = kind in _LATER
    return _refused(page, [complaint] if later else [complaint, *_as_if_kind_were_right(page)])


def _panel(page: _Page) -> Asked | Refused:
    faults = panel_faults(page.given, stem=page.stem, policy=page.policy)
    file = _checked(PanelFile, page, page.given.table, faults, unknown=PANEL_UNKNOWN)
    if isinstance(file, Refused):
        return file
    warnings = tuple(panel_warnings(page.given, page.policy))
    return panel_asked(file, stem=page.stem, warnings=warnings)


def _train(page: _Page) -> Asked | Refused:
    faults = (
        *resolution_faults(page.given, page.policy),
        *train_faults(page.given, stem=page.stem, policy=page.policy),
    )
    # 512 may be written although there is no such key; anything else is among the faults.
    table = {key: page.given.table[key] for key in page.given.table if key not in RESOLUTION_KEYS}
    file = _checked(TrainFile, page, table, faults, unknown=TRAIN_UNKNOWN)
    if isinstance(file, Refused):
        return file
    warnings = tuple(train_warnings(page.given, page.policy))
    return train_asked(file, stem=page.stem, warnings=warnings)


def _control(page: _Page) -> Control | Refused:
    file = _checked(ControlFile, page, page.given.table, _control_faults(page.given), unknown={})
    return file if isinstance(file, Refused) else Control(file.kind, file.job or "")


def _checked(
    model: type[Model],
    page: _Page,
    table: Mapping[str, object],
    faults: Iterable[Fault],
    *,
    unknown: Mapping[str, str],
) -> Model | Refused:
    """The table as a model, unless the model or a rule finds something wrong."""
    found = [
        Complaint(page.outline.line_of(fault.path), dotted(fault.path), fault.text)
        for fault in (*_ref_faults(page.given), *faults)
    ]
    try:
        file = model.model_validate(table)
    except ValidationError as mistake:
        wrong = complaints_of(mistake, model=model, outline=page.outline, unknown=unknown)
        return _refused(page, [*wrong, *found])
    return _refused(page, found) if found else file


def _control_faults(given: Given) -> Iterator[Fault]:
    kind, job = given.text("kind"), given.text("job")
    if kind in _ABOUT_ALL and given.has("job"):
        yield Fault(
            given.at("job"),
            f"{kind} is about the whole queue, not about one job. Remove the line, or write "
            'kind = "cancel" to stop this job.',
        )
    elif kind in _ABOUT_ONE and not given.has("job"):
        yield Fault(given.at("job"), f'`job` is missing: {kind} which? Write job = "ch01_p003_v1"')
    elif job is not None and split_job(job) is None:
        yield Fault(
            given.at("job"),
            f'"{excerpt(job)}" is no job: a job is a name with its number, as status and outbox/ '
            'show it. Write for example: job = "ch01_p003_v1"',
        )


def _ref_faults(given: Given) -> Iterator[Fault]:
    ref = given.text("ref")
    if ref is not None and (fault := ref_fault(ref)):
        yield Fault(given.at("ref"), fault)


def _kind_sentence(given: Given) -> str:
    kind = given.table.get("kind")
    likely = _likely_kind(given) or "panel"
    if not given.has("kind"):
        return f'`kind` is missing: what is this? Write as the first line: kind = "{likely}"'
    if not isinstance(kind, str):
        return f'`kind` takes a text, not {described(kind)}. Write: kind = "{likely}"'
    if kind in _LATER:
        return f'kind = "{kind}" is not in this version yet. Nothing was changed.'
    meant = nearest(kind, _KINDS) or likely
    return (
        f'There is no kind "{excerpt(kind)}"; the kinds are {", ".join(_KINDS)}. '
        f'Write: kind = "{meant}"'
    )


def _likely_kind(given: Given) -> str:
    """What the other keys say that this is; '' when they do not say."""
    if any(map(given.has, ("trigger", "dataset", "network_dim", "regularization"))):
        return "train"
    return "panel" if any(map(given.has, ("prompt", "panel", "controlnet", "cfg"))) else ""


def _as_if_kind_were_right(page: _Page) -> Sequence[Complaint]:
    """What else is wrong, where the other keys leave no doubt about the kind."""
    likely = _likely_kind(page.given)
    if not likely:
        return ()
    other = _judged(replace(page, given=Given({**page.given.table, "kind": likely})))
    return other.errors if isinstance(other, Refused) else ()


def _refused(page: _Page, complaints: Iterable[Complaint]) -> Refused:
    ref = page.given.text("ref") or ""
    return Refused("" if ref_fault(ref) else ref, _cut(complaints, page.policy))


def _cut(complaints: Iterable[Complaint], policy: Policy) -> tuple[Complaint, ...]:
    """In the order of the file (what concerns no line last), as many as a person reads."""
    found = sorted(
        dict.fromkeys(complaints), key=lambda complaint: (complaint.line == 0, complaint.line)
    )
    limit = policy.max_complaints
    if len(found) <= limit:
        return tuple(found)
    rest = len(found) - limit + 1
    last = Complaint(
        0, "", f"And {rest} more mistakes. Mend these first, then drop the file again."
    )
    return (*found[: limit - 1], last)


def _ref_in(lost: Unreadable) -> str:
    """The reference in a file that is no TOML, where its line at least can be read."""
    line = lost.outline.lines.get(("ref",), 0) if lost.outline else 0
    found = _REF_LINE.fullmatch(lost.text.split("\n")[line - 1]) if line else None
    return found[1] if found and not ref_fault(found[1]) else ""
