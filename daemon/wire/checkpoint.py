"""Spells the trailer by which a commit vouches for the ledger: so many lines, and the last one's
chain.

Law: ``read_trailer(render(..., trailer=t), host=t.host) == t``, and nothing said above the trailer
can be read as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass

from daemon.wire.ledger_line import GENESIS
from daemon.wire.text import visible

KEY = "Nightpress-Ledger:"
_MAX_LINES = 60
_TRAILER = re.compile(
    rf"{KEY} (?P<host>[a-z0-9-]+) (?P<segment>[0-9]{{4}}-[0-9]{{2}}) (?P<lines>[1-9][0-9]{{0,9}})"
    r" (?P<seq>[1-9][0-9]{0,9}) (?P<chain>[0-9a-f]{32})"
)
_LAST = re.compile(rb'\{"seq":([0-9]+),[^\n]*"chain":"([0-9a-f]{32})"\}\n\Z')


@dataclass(frozen=True, slots=True)
class Trailer:
    """What a commit holds of a host: ``lines`` of this segment (a month), the last one of which has
    this seq and chain.
    """

    host: str
    segment: str
    lines: int
    seq: int
    chain: str

    @property
    def path(self) -> str:
        """The segment's file, relative to the studio."""
        return f"ledger/{self.host}/{self.segment}.jsonl"


def search_text(host: str) -> str:
    """What every message with a trailer of this host holds."""
    return f"{KEY} {host} "


def render(headline: str, summary: Iterable[str], *, trailer: Trailer) -> str:
    """The whole message: headline, summary, and the trailer as a paragraph of its own."""
    lines = [visible(line) for line in summary]
    if len(lines) > _MAX_LINES:
        lines[_MAX_LINES:] = [f"... and {len(lines) - _MAX_LINES} lines more (nightpress log)"]
    said = "\n".join([visible(headline), "", *lines]).strip()
    return f"{said}\n\n{KEY} {' '.join(map(str, astuple(trailer)))}\n"


def read_trailer(message: str, *, host: str) -> Trailer | None:
    """The host's trailer in a message's last paragraph, None where there is none."""
    for line in message.strip().rpartition("\n\n")[2].split("\n"):
        found = _TRAILER.fullmatch(line.strip())
        if found and found["host"] == host:
            lines, seq = int(found["lines"]), int(found["seq"])
            return Trailer(host, found["segment"], lines, seq, found["chain"])
    return None


def prefix(data: bytes, chain: str) -> bytes | None:
    """A segment's bytes through the line that has this chain; None when there is no such line."""
    mark = b',"chain":"%s"}\n' % chain.encode()
    at = data.find(mark)
    return None if at < 0 else data[: at + len(mark)]


def is_held(trailer: Trailer, data: bytes) -> bool:
    """Whether a segment's bytes begin with what the trailer vouches for.

    Only the one chain is compared: that the lines before it lead there is for who reads them.
    """
    held = prefix(data, trailer.chain)
    return held is not None and held.count(b"\n") == trailer.lines


def fault(trailer: Trailer, data: bytes, *, commit: str) -> str:
    """What is wrong with a segment's bytes by a commit's trailer, and the remedy; '' = nothing."""
    if is_held(trailer, data):
        return ""
    lines, last = data.count(b"\n"), _LAST.search(data[: data.rfind(b"\n") + 1])
    seq, chain = (int(last[1]), last[2].decode()) if last else (0, GENESIS)
    cut = lines < trailer.lines
    keep = "" if cut else f"Keep what is there first: cp {trailer.path} {trailer.segment}.kept. "
    return (
        f"{trailer.path} is {'TRUNCATED' if cut else 'REWRITTEN'}: it has {lines} lines and ends "
        f"at seq {seq}, chain {chain}; commit {commit[:12]} holds {trailer.lines} lines that end "
        f"at seq {trailer.seq}, chain {trailer.chain}{'' if cut else ', which are not among them'}."
        f" Nothing was changed. {keep}With the daemon stopped, this in the studio's folder brings "
        f"the lines back: git show {commit[:12]}:./{trailer.path} > {trailer.path}"
    )
