"""Lines of earlier releases, in today's words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from daemon.core.events import CheckpointSaved
from daemon.core.jobs import JobId
from daemon.errors import LedgerDamaged, LedgerNewer
from daemon.wire.upcast import upcast
from tests.examples import judged
from tests.release import LEDGERS
from tests.wire.test_ledger_line import forged, read

JUDGED: Mapping[str, Any] = {
    "job": "a_v1",
    "attempt": 1,
    "image": 1,
    "sha256": "f",
    "verdict": "good",
    "scores": {},
}
SAVED: Mapping[str, Any] = {
    "job": "spyke_v1",
    "step": 198,
    "sha256": "f",
    "loss": 0.1,
    "attempt": 1,
}


def test_a_picture_of_0_1_0_does_not_say_how_it_was_made() -> None:
    (entry,) = read(forged(type="image.judged", **JUDGED))
    assert entry.event == judged(JobId("a_v1"), sha256="f")


def test_a_checkpoint_of_0_1_0_does_not_say_its_size() -> None:
    (entry,) = read(forged(type="checkpoint.saved", **SAVED))
    assert entry.event == CheckpointSaved(JobId("spyke_v1"), 198, "f", 0.1, 1, 0, "", 0.0)


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("image.judged", {**JUDGED, "engine": 3}),
        ("image.judged", {key: value for key, value in JUDGED.items() if key != "verdict"}),
        ("checkpoint.saved", {**SAVED, "bytes": 9}),
        ("checkpoint.saved", {key: value for key, value in SAVED.items() if key != "attempt"}),
    ],
)
def test_a_line_that_no_release_wrote_is_not_made_good(kind: str, line: Mapping[str, Any]) -> None:
    with pytest.raises(LedgerDamaged) as caught:
        read(forged(type=kind, **line))
    assert not isinstance(caught.value, LedgerNewer)


def test_a_line_of_today_passes_as_it_is() -> None:
    told: dict[str, tuple[str, ...]] = {
        "image.judged": ("engine", "map_sha256"),
        "checkpoint.saved": ("bytes", "step_s"),
    }
    told |= {
        "attempt.started": ("need_bytes", "stage"),
        "attempt.ended": ("step_s",),
        "model.recorded": ("parts",),
    }
    recorded = {"job": "a_v1", "images": [["a.png", "1", "2", "crop"]]}
    assert upcast("dataset.recorded", recorded) is recorded
    for kind in (*told, "incident"):
        line: dict[str, object] = {"job": "a_v1", **dict.fromkeys(told.get(kind, ()), 3)}
        assert upcast(kind, line) is line


def test_what_0_1_0_wrote_needs_each_of_the_steps() -> None:
    [segment] = (LEDGERS / "0.1.0").glob("*.jsonl")
    lines = [json.loads(line) for line in segment.read_bytes().splitlines()]
    changed = {line["type"] for line in lines if upcast(line["type"], line) is not line}
    assert changed == {
        "image.judged",
        "checkpoint.saved",
        "attempt.started",
        "attempt.ended",
        "model.recorded",
        "dataset.recorded",
    }
