"""What the daemon left in the outbox after any cut is what the ledger alone gives again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from daemon.core.state import State, fold
from daemon.core.world import World
from daemon.shell.rebuild import Finding, rebuild
from daemon.wire.ledger_line import Head, read_lines
from daemon.wire.status import DaemonFacts, status_document
from daemon.wire.views import View, agrees, views
from tests.sim.story import (
    CONTROL_STORY,
    PANEL_STORY,
    TRAIN_CONTROL_STORY,
    TRAIN_STORY,
    Drop,
    Fate,
    History,
    tell,
)

OF_THE_LEDGER = ("job.toml", "status.toml", ".lock.toml")
STORIES = {
    "panel": PANEL_STORY,
    "control": CONTROL_STORY,
    "train": TRAIN_STORY,
    "train control": TRAIN_CONTROL_STORY,
}


def state_of(history: History) -> State:
    """By the ledger's bytes, as another process would read them. All stories are of one month."""
    lines = history.ledger().split(b"\n")[:-1]
    return fold(read_lines(lines, head=Head(), segment="ledger/press/2026-11.jsonl"))


def outbox(history: History) -> Mapping[str, bytes]:
    """What lies there of the kinds of files that the ledger can give, by path."""
    return {
        path: node.data
        for path, node in history.disk.names.items()
        if path.startswith("outbox/") and path.endswith(OF_THE_LEDGER) and "/resume/" not in path
    }


def fates(story: tuple[Drop, ...]) -> list[Fate]:
    """An undisturbed life, and eight that are cut off, by power and by kill in turn."""
    steps = tell(story, Fate(seed=1)).disk.steps
    cuts = range(steps // 9, steps, steps // 9)
    return [Fate(seed=1), *(Fate(cut, cut, kill_only=cut % 2 == 0) for cut in cuts)]


def rebuilt(
    history: History, given: Mapping[str, View], *, everything: bool = False
) -> Mapping[str, Finding]:
    return asyncio.run(rebuild(history.disk.handle(), given, everything=everything))


@pytest.mark.parametrize("name", STORIES)
def test_every_request_status_and_lock_is_what_the_ledger_gives_again(name: str) -> None:
    """Status files are not synced: a power cut may cost one, and rebuilding gives it back."""
    for fate in fates(STORIES[name]):
        history = tell(STORIES[name], fate)
        given = views(state_of(history), host="press")
        found = rebuilt(history, given)
        assert all(path.endswith("/status.toml") for path in found), fate
        assert not found or (fate.cut_at and not fate.kill_only), fate
        there = outbox(history)
        texts_of_refused = {
            path for path in there if path.startswith("outbox/rejected/") and "job.toml" in path
        }
        assert there == {path: there[path] for path in texts_of_refused} | {
            path: view.data for path, view in given.items()
        }


@pytest.mark.parametrize("name", STORIES)
def test_what_is_taken_away_is_given_back_byte_for_byte(name: str) -> None:
    history = tell(STORIES[name], Fate(seed=1))
    before = outbox(history)
    for path in before:
        if "/rejected/" not in path or path.endswith("status.toml"):
            del history.disk.names[path]
    given = views(state_of(history), host="press")
    found = rebuilt(history, given, everything=True)
    assert set(found.values()) == {Finding.WRITTEN}
    assert outbox(history) == before
    assert rebuilt(history, given) == {}


def test_the_locks_of_a_story_are_among_what_is_given_again() -> None:
    """So that the laws above are not of nothing."""
    ends = [path[-10:] for path in outbox(tell(TRAIN_STORY, Fate(seed=1)))]
    assert ends.count(".lock.toml") == 4


@pytest.mark.parametrize("name", ["panel", "train"])
def test_a_status_json_agrees_with_what_another_reader_of_the_ledger_would_write(name: str) -> None:
    history = tell(STORIES[name], Fate(seed=1))
    state = state_of(history)
    document = status_document(
        state,
        at=0,
        daemon=DaemonFacts("", 0, "", 0),
        world=World("none"),
        engine=None,
        reasons={},
        progress=None,
    )
    there = history.disk.get("outbox/status.json") or b""
    assert agrees(there, document)
    assert not agrees(there.replace(b"published", b"cancelled"), document)
    assert not agrees(there[:-3], document)
    assert not agrees(b"[]", document)
