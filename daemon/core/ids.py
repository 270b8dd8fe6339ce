"""Derived names: nothing is drawn by chance, so the same request leads to the same id after a
crash.

Law: each id is a pure function of what it names.
"""

from __future__ import annotations

import hashlib
import re

from daemon.core.jobs import JobId

_JOB = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9._-]{0,63})_(?P<letter>[vr])(?P<number>[1-9][0-9]{0,8})"
)


def job_id(name: str, number: int, *, rehearsal: bool) -> JobId:
    """``name_v3``, or ``name_r3`` for a job of the rehearsal engine."""
    return JobId(f"{name}_{'r' if rehearsal else 'v'}{number}")


def split_job(job: str) -> tuple[str, str, int] | None:
    """The name, letter (``v`` or ``r``) and number of a job's id; None when it is not one."""
    found = _JOB.fullmatch(job)
    return (found["name"], found["letter"], int(found["number"])) if found else None


def is_rehearsal(job: str) -> bool:
    """Whether the job was accepted by the rehearsal engine."""
    parts = split_job(job)
    return parts is not None and parts[1] == "r"


def lora_file(job: str, step: int) -> str:
    """What a training's checkpoint is called, by its true step, wherever it lies."""
    return f"{job}-{step:06d}.safetensors"


def prompt_id(*, studio: str, job: str, attempt: int, image: int, graph_sha256: str) -> str:
    """ComfyUI's prompt id: a canonical lowercase UUID, recorded before the prompt is sent.

    ``graph_sha256`` is of the bound graph without its file prefix (which contains this id).
    """
    digest = _digest("prompt", studio, job, str(attempt), str(image), graph_sha256)[:32]
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:]))


def file_prefix(prompt: str) -> str:
    """SaveImage's ``filename_prefix`` for a prompt id: lowercase, unique to it."""
    return f"nightpress/{prompt.replace('-', '')[:12]}"


def derived_seed(*, studio: str, job: str, index: int) -> int:
    """The seed of picture ``index`` (from 1) where none was asked for: 0 .. 2**53-1."""
    return int(_digest("seed", studio, job, str(index)), 16) % 2**53


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()
