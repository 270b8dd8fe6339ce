"""Spells a recorded request again, with changes: the bytes of a new job file.

Law: what is not changed is asked for as it was, derived seeds included, so that the pages of before
and after can be compared; and it is run, though the same was asked for before. Comments are not
kept.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from daemon.core.job import Job
from daemon.core.jobs import PanelSpec
from daemon.wire.job_file import table_of
from daemon.wire.toml_text import Section, toml_bytes

_WAYS = ("seed", "seeds", "variations")
"""How a panel says which pictures it wants: one of them."""


@dataclass(frozen=True, slots=True)
class Changes:
    """``loras`` are the new names by the old; ``values`` by key, ``controlnet.strength`` for one in
    a table.
    """

    loras: Mapping[str, str]
    values: Mapping[str, object]


def value_of(text: str) -> object:
    """What is written behind ``key =``: a TOML value, or a text where it is none."""
    try:
        table = tomllib.loads(f"value = {text}")
    except ValueError:
        return text
    return table["value"] if len(table) == 1 else text


def loras_of(job: Job) -> Sequence[str]:
    """The LoRAs of a panel, as its request names them."""
    rows = table_of(job.request).get("lora")
    return [str(row["name"]) for row in rows] if isinstance(rows, list) else []


def renewed(job: Job, changes: Changes) -> bytes:
    """The new request."""
    table = {**table_of(job.request), "rerun": True}
    rows = table.get("lora")
    for row in rows if isinstance(rows, list) else ():
        row["name"] = changes.loras.get(row["name"], row["name"])
    if isinstance(job.spec, PanelSpec):
        _settle_seeds(table, job.spec, changes)
    for key, value in changes.values.items():
        _set(table, key, value)
    name = "panel" if job.kind == "panel" else "lora"
    whole = {"kind": job.kind, name: job.name, **table}
    sections = list(_sections(whole))
    top = {key: whole[key] for key in whole if key not in dict(sections)}
    return toml_bytes(top, sections)


def _settle_seeds(table: dict[str, object], spec: PanelSpec, changes: Changes) -> None:
    for way in _WAYS:
        table.pop(way, None)
    if changes.values.keys().isdisjoint(_WAYS):
        one = len(spec.seeds) == 1
        table["seed" if one else "seeds"] = spec.seeds[0] if one else list(spec.seeds)


def _set(table: dict[str, object], key: str, value: object) -> None:
    """Set a key of the table, of a table in it, or of each in a list of tables."""
    head, _, tail = key.partition(".")
    inner = table.get(head)
    if not tail:
        table[head] = value
    elif isinstance(inner, list):
        table[head] = [{**row, tail: value} for row in inner]
    else:
        table[head] = {**(inner if isinstance(inner, dict) else {}), tail: value}


def _sections(table: Mapping[str, object]) -> Iterator[Section]:
    for key, value in table.items():
        rows = [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
        if isinstance(value, dict):
            yield key, value
        elif rows and rows == value:
            yield key, rows
