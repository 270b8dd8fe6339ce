"""Keeps the ledger in git: a commit a day, and the files held against what the last one vouches
for.

Law: committing is publishing. It delays nothing and fails nothing: what cannot be committed now is
committed later. Only durable lines are in a commit, so that no power cut takes what a trailer
vouches for.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence

from daemon.core.commands import Command, ReportIncident
from daemon.errors import PersonNeeded, WorldError
from daemon.ports import Clock, Commit, Disk, Git
from daemon.wire.checkpoint import (
    Trailer,
    fault,
    is_held,
    prefix,
    read_trailer,
    render,
    search_text,
)
from daemon.wire.instants import instant_text
from daemon.wire.ledger_line import Head
from daemon.wire.review import review
from daemon.wire.review_text import headline, summary_lines

log = logging.getLogger(__name__)

_LOOK_S = 60.0
_LATER_S = 3600.0
_NOON = "T12"
"""From this hour of the UTC day on, a press that is never at rest is not waited for."""
_SAID_AFTER_MS = 3 * 24 * 3600 * 1000
"""What has failed for so long in one life of the daemon is an incident, once."""
_COMING_AND_GOING = ("daemon.started", "daemon.stopped")
_START_S = 10.0
_LIMIT_BYTES = 2**31
_SEGMENT = re.compile(r"([0-9]{4}-(?:0[1-9]|1[0-2]))\.jsonl")
_BESIDE = re.compile(r"machine|[0-9-]{7}\.jsonl\.torn-[0-9]+")


class Checkpoints:
    """Commits a host's ledger once a UTC day. ``head``: where the durable ledger ends; ``busy``:
    whether a job has the GPU.
    """

    def __init__(
        self,
        *,
        git: Git,
        disk: Disk,
        clock: Clock,
        host: str,
        head: Callable[[], Head],
        busy: Callable[[], bool],
        tell: Callable[[Command], None],
    ) -> None:
        self._git = git
        self._disk = disk
        self._clock = clock
        self._host = host
        self._head = head
        self._busy = busy
        self._tell = tell
        self._failing_since: int | None = None
        self._said: str | None = None

    async def run(self) -> None:
        """Commit at the first quiet moment of each day on which there is news, until cancelled."""
        done, looked_at = "", -1
        while True:
            now, seq = instant_text(self._clock.now()), self._head().seq
            quiet = now[10:13] >= _NOON or not self._busy()
            rest_s = _LOOK_S
            if quiet and now[:10] > done and seq != looked_at:
                # Gathered, since not even a mistake of ours in here may end the daemon.
                [made] = await asyncio.gather(self.commit(), return_exceptions=True)
                if isinstance(made, BaseException):
                    self._note_failure(made)
                    rest_s = _LATER_S
                else:
                    self._failing_since, self._said = None, None
                    done, looked_at = now[:10] if made else done, seq
            await asyncio.sleep(rest_s)

    async def commit(self) -> bool:
        """Commit what is new since this branch's last trailer; whether today's commit is there now.

        Raises ``WorldError`` GIT_CHECKPOINT when it cannot be now.
        """
        head, now = self._head(), self._clock.now()
        found = await vouched(self._git, host=self._host, everywhere=False)
        if found and _day(found[0].at) >= _day(now):
            return True
        last = found[1] if found else Trailer(self._host, "", 0, 0, "")
        if head.seq == last.seq:
            return False
        segments = await self._segments(last, head)
        if found and (text := fault(last, segments.get(last.segment, b""), commit=found[0].id)):
            raise WorldError("GIT_CHECKPOINT", text)
        lines = segments[head.segment].count(b"\n")
        trailer = Trailer(self._host, head.segment, lines, head.seq, head.chain)
        # A month of lines may have to be read, and other work goes on meanwhile.
        message = await asyncio.to_thread(_message, segments, last, trailer)
        if not message:
            return False
        files = {_path(self._host, month): data for month, data in segments.items()}
        files |= await self._beside()
        made = await self._git.commit(files, message=message, at=now)
        log.info("the ledger is in git up to seq %d: commit %s", head.seq, made[:12])
        return True

    async def _segments(self, last: Trailer, head: Head) -> Mapping[str, bytes]:
        """Month -> durable bytes, from the month of the last trailer on. Raises ``WorldError``."""
        found = {}
        for item in await self._disk.list(f"ledger/{self._host}"):
            month = _SEGMENT.fullmatch(item.name)
            if month and last.segment <= month[1] <= head.segment:
                found[month[1]] = await _bytes(self._disk, _path(self._host, month[1]))
        durable = prefix(found.get(head.segment, b""), head.chain)
        if durable is None:
            text = f"{_path(self._host, head.segment)} does not hold seq {head.seq} any more"
            raise WorldError("GIT_CHECKPOINT", f"The ledger cannot be committed now: {text}.")
        return {**found, head.segment: durable}

    async def _beside(self) -> Mapping[str, bytes]:
        """The few small files without which the segments are half of the ledger."""
        folder = f"ledger/{self._host}"
        names = [item.name for item in await self._disk.list(folder) if item.kind == "file"]
        paths = [f"{folder}/{name}" for name in names if _BESIDE.fullmatch(name)]
        found = {path: await _bytes(self._disk, path) for path in ("ledger/studio", *paths)}
        return {path: data for path, data in found.items() if data}

    def _note_failure(self, error: BaseException) -> None:
        now, text = self._clock.now(), str(error)
        if self._failing_since is None:
            self._failing_since = now
        if self._said is None:
            traced = None if isinstance(error, WorldError) else error
            log.warning("%s It is tried again every hour.", text, exc_info=traced)
            self._said = ""
        if not self._said and now - self._failing_since >= _SAID_AFTER_MS:
            self._said = text
            since = _day(self._failing_since)
            self._tell(ReportIncident("GIT_CHECKPOINT", f"Since {since}: {text}"))


async def check_at_start(git: Git, disk: Disk, *, host: str) -> None:
    """Raises ``PersonNeeded`` when the host's ledger lacks what git vouches for.

    A git that cannot be asked is no reason to stop.
    """
    try:
        async with asyncio.timeout(_START_S):
            found = await vouched(git, host=host, everywhere=True)
    except TimeoutError:
        log.warning("the ledger was not compared with git, which did not answer in time")
    except WorldError as error:
        log.warning("the ledger was not compared with git: %s", error.text)
    else:
        if found is None:
            return
        commit, trailer = found
        if text := fault(trailer, await _bytes(disk, trailer.path), commit=commit.id):
            raise PersonNeeded(text)


async def vouched(git: Git, *, host: str, everywhere: bool) -> tuple[Commit, Trailer] | None:
    """The furthest of the host's newest trailers on HEAD's branch, or ``everywhere``.

    It is believed only when its own commit holds what it says, at this studio's place: so a made-up
    line stops no daemon, another studio's is not taken for ours, and the lines can be had back.
    """
    commits = await git.commits(search_text(host), everywhere=everywhere)
    told = [(commit, read_trailer(commit.message, host=host)) for commit in commits]
    trailers = [(commit, trailer) for commit, trailer in told if trailer is not None]
    # A rebase gives many of them one date, so the order of git is not that of the ledger.
    for commit, trailer in sorted(trailers, key=lambda pair: pair[1].seq, reverse=True):
        if is_held(trailer, await git.file(commit.id, trailer.path) or b""):
            return commit, trailer
    return None


def _day(at: int) -> str:
    return instant_text(at)[:10]


def _path(host: str, month: str) -> str:
    return f"ledger/{host}/{month}.jsonl"


async def _bytes(disk: Disk, path: str) -> bytes:
    """A file's bytes, none when there is no file."""
    try:
        return (await disk.read(path, limit_bytes=_LIMIT_BYTES)).data
    except WorldError as error:
        if error.code == "NOT_FOUND":
            return b""
        raise


def _message(segments: Mapping[str, bytes], last: Trailer, trailer: Trailer) -> str:
    """What the lines after the last trailer tell; '' when the daemon only came and went."""
    lines = [line for month in sorted(segments) for line in segments[month].splitlines()]
    told: Sequence[Mapping[str, object]] = [json.loads(line) for line in lines]
    before, new = told[: last.lines], told[last.lines :]
    if all(line["type"] in _COMING_AND_GOING for line in new):
        return ""
    found = review({trailer.host: new}, before={trailer.host: before})
    return render(headline(found), summary_lines(found), trailer=trailer)
