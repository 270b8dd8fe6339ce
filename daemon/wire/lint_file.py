"""Spells ``lint.toml``: what was found in a dataset, for people and programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from daemon.craft.captions import Words, framing_of
from daemon.craft.dataset import Picture, distinct
from daemon.craft.findings import Finding, is_refused
from daemon.wire.toml_text import toml_bytes

LINT = "lint.toml"


def lint_document(
    pictures: Sequence[Picture], findings: Sequence[Finding], words: Words
) -> Mapping[str, object]:
    """The whole as plain values. ``distinct``: near-duplicates counted once; pictures by framing
    and by source.
    """
    framings = Counter(framing_of(each.said, words) for each in pictures)
    sources = Counter(each.source for each in pictures)
    return {
        "refused": is_refused(findings),
        "images": len(pictures),
        "distinct": len(distinct(pictures)),
        "framing": {name or "not told": framings[name] for name in sorted(framings)},
        "source": {name or "not told": sources[name] for name in sorted(sources)},
        "finding": [{**asdict(each), "images": list(each.images)} for each in findings],
    }


def lint_toml(pictures: Sequence[Picture], findings: Sequence[Finding], words: Words) -> bytes:
    """The file."""
    top = dict(lint_document(pictures, findings, words))
    rows = top.pop("finding")
    assert isinstance(rows, list), "findings are rows"
    return toml_bytes(top, [("finding", rows)])
