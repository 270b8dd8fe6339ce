"""Spells the seed library: the seed of every approved picture of a studio, whoever drew it.

Law: it is a projection of the ledgers, the same for the same lines. A seed that was drawn on other
hardware is marked, and whether it may repeat here is said: the first noise is always drawn on the
CPU, so that it does where the sampler draws no more on the device.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from daemon.core.job import Job
from daemon.core.jobs import Engine, PanelSpec
from daemon.core.state import State
from daemon.craft.samplers import noise_of
from daemon.wire.provenance import Chronicle, picture_of
from daemon.wire.status import Document

SEEDS_SCHEMA = 1
_KEPT = ("job", "image", "file", "picture_sha256", "verdict", "sampler", "prompt", "models")
_REHEARSAL = "rehearsal"
_ENVIRONMENT = ("name", "version", "torch", "os", "device", "python")


class Here(NamedTuple):
    """Whose library it is: this machine's host and the engine that it last drew with, a rehearsal's
    only where it never had a real one.
    """

    host: str
    engine: Engine | None


def here(chronicles: Iterable[Chronicle], host: str) -> Here:
    """This machine, by its own ledger."""
    states = [told.state for told in chronicles if told.host == host]
    return Here(host, _engine(states[0]) if states else None)


def hardware(engine: Engine | None) -> str:
    """A short name for what an engine runs on (``mps``, ``linux-cpu``), good in a file's name."""
    if engine is None:
        return "unknown"
    # ComfyUI's os is mostly "posix", which tells nothing; an allocator's name is no hardware.
    words = f"{engine.os.removeprefix('posix')} {engine.device.partition(' : ')[0]}".lower()
    return "-".join(dict.fromkeys(re.findall(r"[a-z0-9]+", words)))[:64] or "unknown"


def seed_library(chronicles: Sequence[Chronicle], where: Here) -> Document:
    """The library: its ``hardware`` and the ``seeds``, the last approved last."""
    rows = [row for told in chronicles for row in _rows(told, where)]
    return {
        "schema": SEEDS_SCHEMA,
        "hardware": hardware(where.engine),
        "host": where.host,
        "seeds": sorted(rows, key=lambda row: str(row["approved_at"])),
    }


def seeds_json(library: Document) -> bytes:
    """The file."""
    return (json.dumps(library, indent=1) + "\n").encode("ascii")


def _engine(state: State) -> Engine | None:
    found = [fact for fact in state.recorded.values() if isinstance(fact, Engine)]
    return max(reversed(found), key=lambda engine: engine.name != _REHEARSAL, default=None)


def _rows(told: Chronicle, where: Here) -> Iterator[Document]:
    for job in told.state.jobs.values():
        for number in sorted(set(job.approved)):
            if number in job.images and job.images[number].judged:
                yield _row(told, job, number, where)


def _row(told: Chronicle, job: Job, number: int, where: Here) -> Document:
    picture = picture_of(told, job, number)
    engine, spec = picture["engine"], job.spec
    assert isinstance(spec, PanelSpec), "only a panel has pictures"
    known = engine if isinstance(engine, dict) else {}
    reason = _foreign(told.host, known, where)
    return {
        **{key: picture[key] for key in _KEPT},
        "checkpoint": spec.checkpoint,
        "vae": spec.vae,
        "environment": {key: known.get(key, "") for key in _ENVIRONMENT} if known else None,
        "host": told.host,
        "foreign": bool(reason),
        "reason": f"{reason}; {_repeats(known, spec.sampler)}" if reason else "",
        "approved_at": picture["approved_at"],
    }


def _foreign(host: str, engine: Document, where: Here) -> str:
    """Why a seed is another hardware's; '' when it is this one's."""
    if engine and where.engine:
        for key, ours in (("name", where.engine.name), ("device", where.engine.device)):
            # A device is its type, and in brackets its name, which says the allocator too.
            if str(engine[key]).split()[:1] != ours.split()[:1]:
                return f"drawn by {engine['name']} on {engine['device']}, not {ours}"
    return "" if host == where.host else f"drawn on {host}, another machine"


def _repeats(engine: Document, sampler: str) -> str:
    """Whether another hardware's seed gives its picture here too."""
    if engine.get("name") == _REHEARSAL:
        return "a storyboard says nothing of what the seed draws"
    if noise_of(sampler) == "portable":
        return "its noise is drawn on the CPU, so it may repeat here"
    return "its noise is drawn on the device, so it gives another picture here"
