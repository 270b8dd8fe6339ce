"""The face: the ledger's lines with one code or verdict, and how the pictures among them were asked
for, so that one can see which seeds, samplers and profiles it comes with.
"""

from __future__ import annotations

import json

from daemon.cli.lines import Line
from daemon.cli.tables import Table, inner, raw, text, whole
from daemon.wire.phrases import counted


class Symptom:
    """Show it every line in its order; '' is the code that every line has."""

    def __init__(self, code: str) -> None:
        self._code = code.casefold()
        self._specs: dict[tuple[str, str], Table] = {}
        self._profiles: dict[tuple[str, str, int], str] = {}

    def see(self, line: Line) -> None:
        """Remember what the lines of pictures do not say themselves."""
        table, job = line.table, (line.host, raw(line.table, "job"))
        match self._code and raw(table, "type"):
            case "job.accepted":
                self._specs[job] = inner(table, "spec")
            case "attempt.started":
                self._profiles[*job, whole(table, "attempt")] = text(table, "profile")
            case _:
                pass

    def is_in(self, line: Line) -> bool:
        """Whether the line has the code or verdict."""
        said = (raw(line.table, key).casefold() for key in ("code", "verdict"))
        return not self._code or self._code in said

    def asked(self, line: Line) -> Table:
        """How a picture was asked for, by name; of other lines nothing."""
        table, job = line.table, (line.host, raw(line.table, "job"))
        if raw(table, "type") != "image.judged" or job not in self._specs:
            return {}
        spec, image = self._specs[job], whole(table, "image")
        seeds = spec.get("seeds")
        return {
            "seed": seeds[image - 1] if isinstance(seeds, list) and 0 < image <= len(seeds) else 0,
            **{key: text(spec, key) for key in ("sampler", "scheduler")},
            "steps": whole(spec, "steps"),
            "profile": self._profiles.get((*job, whole(table, "attempt")), ""),
        }


def in_words(asked: Table) -> str:
    """What ``asked`` gives, for a line; '' for nothing."""
    if not asked:
        return ""
    steps = counted(whole(asked, "steps"), "step")
    words = (f"seed {whole(asked, 'seed')}", raw(asked, "sampler"), raw(asked, "scheduler"), steps)
    return ", ".join((*words, f"profile {raw(asked, 'profile')}"))


def in_json(line: Line, asked: Table) -> str:
    """The line with what ``asked`` gives, as JSON; the chain is that of the line alone."""
    return json.dumps({**line.table, **asked}, separators=(",", ":"))
