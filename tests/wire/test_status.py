"""Status files say where everything stands, to people and to programs."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from typing import Any

import pytest

from daemon.core.events import CheckpointSaved, Entry
from daemon.core.hurdles import Reason
from daemon.core.job import Checkpoint, Job
from daemon.core.jobs import OPEN_PHASES, JobId, Phase
from daemon.core.needs import Need
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.core.windows import Span, Windows
from daemon.core.world import Heavy, Machine, World
from daemon.wire.comfyui import EngineFacts
from daemon.wire.sentence import sentence
from daemon.wire.status import (
    DaemonFacts,
    Drawing,
    Hashing,
    Notice,
    job_status_toml,
    status_document,
    status_json,
)
from tests.core.asking import TRAIN
from tests.examples import job

DAEMON = DaemonFacts(version="0.1.0", pid=4711, studio="a1b2", started_at=0)
READY = World(engine="comfyui", engine_code="", engine_text="")
GIB = 2**30
NEED = Need((("UNet fp16", 1_719_000_000), ("working memory", 900_000_000)), -119_000_000)
NIGHT = Windows((Span(frozenset(range(7)), 22 * 60, 7 * 60),))
ENGINE = EngineFacts("comfyui", "0.3.64", "mps", "mps", (), "3.11", "2.8", "darwin", "managed")


def state_of(jobs: Iterable[Job], *, lease: str = "") -> State:
    state = State(running=(JobId(lease),) if lease else ())
    for one in jobs:
        state.jobs[one.id] = one
        (state.queue if one.open else state.ended)[one.id] = None
    return state


def document(state: State, **given: Any) -> Any:
    """status.json as a program reads it."""
    facts: dict[str, Any] = {"world": READY, "engine": ENGINE, "reasons": {}, "progress": None}
    made = status_document(state, at=1_795_000_000_123, daemon=DAEMON, **{**facts, **given})
    return json.loads(status_json(made))


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_a_sentence_of_its_own(phase: Phase) -> None:
    assert sentence(job(phase=phase)).endswith(".")
    assert sentence(job(phase=phase)._replace(text="Why.")).startswith("Why.")


def test_who_reads_of_a_quarantine_reads_what_starts_it_again() -> None:
    lost = job(phase=Phase.QUARANTINED)._replace(text="The next attempt goes on.")
    assert "`nightpress retry ch01_p003_v1`" in sentence(lost)


def test_who_cancels_what_runs_reads_that_it_is_being_stopped() -> None:
    running = job(phase=Phase.RUNNING)
    assert sentence(running) == "Attempt 1 is being drawn."
    assert "being cancelled" in sentence(running._replace(cancelling=True))


def test_who_is_drawn_again_reads_in_what_and_why() -> None:
    again = job(phase=Phase.RUNNING)._replace(profile="cpu-vae", rungs=("default", "fp32-unet"))
    assert sentence(again._replace(attempt=3)) == (
        "Attempt 3 is being drawn: the same seed in profile cpu-vae, since the picture was spoilt "
        "in default and fp32-unet."
    )


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.PUBLISHING, Phase.PUBLISHED])
def test_nothing_of_a_training_is_called_drawn(phase: Phase) -> None:
    one = job("spyke", phase=phase)._replace(kind="train", spec=TRAIN)
    said = [sentence(one), sentence(one._replace(cancelling=True))]
    assert [text for text in said if "draw" in text] == []
    assert {Phase.RUNNING: "being trained", Phase.PUBLISHING: "It is trained"}.get(
        phase, "`nightpress approve spyke_v1 --checkpoint STEP`"
    ) in said[0]


def test_the_lease_of_a_training_has_true_steps_epochs_and_the_loss() -> None:
    running = job("spyke", phase=Phase.RUNNING)._replace(kind="train", spec=TRAIN)
    state = state_of([running], lease=running.id)
    seen = Drawing(running.id, 1, 0, 240, 990, epoch=2, epochs=5, loss=0.12)
    here = document(state, progress=seen)["lease"]
    assert (here["kind"], here["step"], here["steps"]) == ("train", 240, 990)
    assert (here["epoch"], here["epochs"], here["loss"]) == (2, 5, 0.12)
    assert (here["image"], here["images"]) == (0, 0)


def test_a_training_that_says_nothing_yet_stands_at_its_last_checkpoint() -> None:
    running = job("spyke", phase=Phase.RUNNING)._replace(kind="train", spec=TRAIN)
    line = Entry(
        7, 0, CheckpointSaved(running.id, 396, "c" * 64, 0.1, 1, 9, "mps", 0.0), "2026-11", ""
    )
    running = running._replace(checkpoints={396: Checkpoint("c" * 64, 0.1, 1, line, 9, "mps")})
    lease = document(state_of([running], lease=running.id))["lease"]
    assert (lease["step"], lease["steps"], lease["loss"]) == (396, 990, None)
    assert (lease["epoch"], lease["epochs"]) == (0, 5)


def test_status_toml_says_phase_code_sentence_and_what_to_look_at_first() -> None:
    failed = job(phase=Phase.FAILED)._replace(code="BLACK_OR_GRAY", text="All black.")
    status = tomllib.loads(job_status_toml(failed).decode())
    assert (status["phase"], status["code"]) == ("failed", "BLACK_OR_GRAY")
    assert status["sentence"] == "All black."
    assert "fp32" in status["first_check"]
    assert (status["ref"], status["attempt"]) == ("run-7/ch01/3", 1)
    assert status["accepted_at"] == "2026-11-18T11:06:40.123Z"
    assert "not_before" not in status


def test_status_toml_lists_the_files_and_their_hashes() -> None:
    done = job(phase=Phase.PUBLISHED)._replace(files={"ch01_p003_v1.png": "a" * 64})
    status = tomllib.loads(job_status_toml(done).decode())
    assert status["files"] == {"ch01_p003_v1.png": "a" * 64}
    assert status["first_check"] == ""


def test_an_open_job_is_in_the_queue_and_an_ended_one_in_recent() -> None:
    jobs = [job(f"p{seq}", phase=phase, seq=seq) for seq, phase in enumerate(Phase, start=1)]
    told = document(state_of(jobs))
    assert {row["phase"] for row in told["queue"]} == OPEN_PHASES
    assert {row["phase"] for row in told["recent"]} == set(Phase) - OPEN_PHASES
    assert told["recent"][0]["job"] == "p9_v1"
    assert told["queue_count"] == len(OPEN_PHASES)


def test_the_queue_starts_with_what_runs_and_goes_on_in_the_order_of_turns() -> None:
    jobs = [
        job("late", seq=3),
        job("early", seq=2),
        job("urgent", seq=4, priority=5),
        job("running", seq=5, phase=Phase.RUNNING),
    ]
    told = document(state_of(jobs, lease="running_v1"))
    names = [row["job"] for row in told["queue"]]
    assert names == ["running_v1", "urgent_v1", "early_v1", "late_v1"]


def test_a_waiting_job_carries_its_reason_and_the_earliest_time() -> None:
    waiting = job(phase=Phase.HELD)
    reason = Reason("GPU_BUSY", "Another studio draws.", 1_795_000_000_000)
    (row,) = document(state_of([waiting]), reasons={waiting.id: reason})["queue"]
    assert (row["code"], row["reason"]) == ("GPU_BUSY", "Another studio draws.")
    assert row["not_before"] == "2026-11-18T11:06:40.000Z"


def test_the_lease_shows_how_far_its_own_attempt_is() -> None:
    running = job(phase=Phase.RUNNING)
    state = state_of([running], lease=running.id)
    here = document(state, progress=Drawing(running.id, 1, 2, 7, 20))["lease"]
    assert (here["image"], here["images"], here["step"], here["steps"]) == (2, 2, 7, 20)
    assert (here["kind"], here["epoch"], here["epochs"], here["loss"]) == ("panel", 0, 0, None)
    old = document(state, progress=Drawing(running.id, 0, 2, 7, 20))["lease"]
    assert (old["image"], old["step"], old["steps"]) == (0, 0, 20)
    assert document(state_of([]))["lease"] is None


def test_the_engine_says_why_it_is_not_ready() -> None:
    gone = World("comfyui", "COMFY_NOT_READY", "Connection refused.")
    told = document(state_of([]), world=gone, engine=None)["engine"]
    assert (told["ready"], told["code"], told["version"]) == (False, "COMFY_NOT_READY", None)
    assert told["first_check"]
    assert document(state_of([]))["engine"]["version"] == "0.3.64"


def test_lists_are_cut_and_the_counts_are_not() -> None:
    waiting = [job(f"w{seq}", seq=seq) for seq in range(1, 301)]
    ended = [job(f"e{seq}", seq=seq, phase=Phase.PUBLISHED) for seq in range(301, 601)]
    notices = [Notice(at, "DISK_LOW", "Low.") for at in range(60)]
    told = document(state_of([*waiting, *ended]), incidents=notices)
    assert (len(told["queue"]), told["queue_count"]) == (200, 300)
    assert [row["job"] for row in told["recent"]] == [f"e{seq}_v1" for seq in range(600, 400, -1)]
    assert len(told["incidents"]) == 50
    assert told["incidents"][0]["at"] == "1970-01-01T00:00:00.059Z"


def test_text_from_outside_cannot_leave_its_line() -> None:
    odd = job(phase=Phase.FAILED)._replace(code="NODE_ERROR", text='a\n"b\u202e')
    assert status_json({"text": odd.text}).count(b"\n") == 1
    assert tomllib.loads(job_status_toml(odd).decode())["sentence"] == odd.text


def test_of_panels_that_follow_one_another_the_one_that_is_drawn_has_the_gpu() -> None:
    """A2.3: the first is looked at, the third made ready."""
    names = ("one", "two", "three")
    jobs = [job(name, phase=Phase.RUNNING)._replace(attempt=1) for name in names]
    state = state_of(jobs)
    state.running = tuple(each.id for each in jobs)
    drawing = Drawing(jobs[1].id, 1, 1, 7, 20)
    lease = document(state, progress=drawing)["lease"]
    assert (lease["job"], lease["step"], lease["steps"]) == (jobs[1].id, 7, 20)
    assert document(state)["lease"]["job"] == jobs[0].id


def test_the_file_that_is_hashed_is_told() -> None:
    state = State()
    assert document(state)["hashing"] is None
    told = document(state, hashing=Hashing("a.safetensors", 5, 9))["hashing"]
    assert told == {"name": "a.safetensors", "bytes_done": 5, "bytes": 9}


def test_the_memory_is_told_with_what_is_unknown_and_what_the_next_job_needs() -> None:
    """A2.7, A2.10, K2.6"""
    seen = Machine(
        total_bytes=16 * GIB,
        free_bytes=4 * GIB,
        ours_bytes=2 * GIB,
        level=2,
        code="MEMORY_PRESSURE",
        text="It is under pressure.",
        unknown=(("swap", 1_795_000_000_000),),
        programs=(Heavy("Chrome", GIB),),
        users=1,
    )
    first, other = job("one"), job("two", seq=2)
    reasons = {first.id: Reason("A", "A.", need=NEED), other.id: Reason("B", "B.")}
    world = World("comfyui", machine=seen)
    state = state_of([first, other])
    assert document(state, world=world, reasons=reasons)["memory"] == {
        "total_bytes": 16 * GIB,
        "free_bytes": 4 * GIB,
        "ours_bytes": 2 * GIB,
        "reserve_bytes": GIB,
        "need_bytes": 2_500_000_000,
        "level": 2,
        "code": "MEMORY_PRESSURE",
        "text": "It is under pressure.",
        "unknown": [{"signal": "swap", "since": "2026-11-18T11:06:40.000Z"}],
        "programs": [{"name": "Chrome", "bytes": GIB}],
        "users": 1,
    }
    rehearsing = World("rehearsal", machine=seen)
    assert document(state, world=rehearsing)["memory"]["code"] == ""
    nothing = document(State())["memory"]
    assert (nothing["total_bytes"], nothing["free_bytes"], nothing["need_bytes"]) == (None, None, 0)


def test_the_hours_say_when_they_turn_and_the_ledger_knows_none() -> None:
    policy = Policy(training_windows=NIGHT, panel_windows=Windows((), NIGHT.zone))
    told = document(State(), policy=policy)["windows"]
    assert told["training"] == {"open": False, "closes": None, "opens": "2026-11-18T22:00:00.000Z"}
    assert told["panels"] == {"open": False, "closes": None, "opens": None}
    day = Policy(training_windows=Windows((Span(frozenset(range(7)), 0, 12 * 60),)))
    told = document(State(), policy=day)["windows"]
    assert told["training"] == {"open": True, "closes": "2026-11-18T12:00:00.000Z", "opens": None}
    assert told["panels"] == {"open": True, "closes": None, "opens": None}
    assert document(State())["windows"] is None


def test_who_waits_is_told_the_sum_and_the_next_look() -> None:
    """A2.7"""
    soon, later, unknown = job("soon"), job("later", seq=2), job("unknown", seq=3)
    reasons = {
        soon.id: Reason("MEMORY_SHORT", "Short.", need=NEED),
        later.id: Reason("WINDOW_CLOSED", "Closed.", 1_795_000_060_000, 1_795_000_060_000),
    }
    state = state_of([soon, later, unknown])
    tick = 1_795_000_002_000
    first, second, third = document(state, reasons=reasons, next_tick=tick)["queue"]
    assert first["need"] == {
        "total_bytes": 2_500_000_000,
        "correction_bytes": -119_000_000,
        "terms": [["UNet fp16", 1_719_000_000], ["working memory", 900_000_000]],
    }
    assert first["next_look"] == "2026-11-18T11:06:42.000Z"
    assert (second["next_look"], second["need"]) == ("2026-11-18T11:07:40.000Z", None)
    assert (third["next_look"], third["need"]) == (None, None)
    assert document(state, reasons=reasons)["queue"][0]["next_look"] is None


def test_the_queue_is_in_the_order_of_the_line() -> None:
    """Inside their window trainings go before panels, whatever came first."""
    panel, training = job("panel", priority=5), job("training", seq=2)
    reasons = {each.id: Reason("IN_LINE", "Wait.") for each in (training, panel)}
    queue = document(state_of([panel, training]), reasons=reasons)["queue"]
    assert [row["job"] for row in queue] == ["training_v1", "panel_v1"]


def test_the_lease_says_what_the_window_holds_and_what_the_attempt_needs() -> None:
    """K3.2"""
    running = job("spyke", phase=Phase.RUNNING)._replace(kind="train", spec=TRAIN, need_bytes=7)
    began = 1_795_000_000_000 + 39_200_000
    running = running._replace(changed_at=began)
    state, policy = state_of([running], lease=running.id), Policy(training_windows=NIGHT)
    lease = document(state, policy=policy)["lease"]
    assert lease["need_bytes"] == 7
    assert lease["tonight"] == "The 990 steps that are left, until about Thu 02:32."
    # From the last state on, whatever was done since.
    line = Entry(
        7, began + 14_400_000, CheckpointSaved(running.id, 594, "c", 0.1, 1, 9, "", 0), "", ""
    )
    saved = running._replace(checkpoints={594: Checkpoint("c", 0.1, 1, line, 9, "")})
    lease = document(state_of([saved], lease=saved.id), policy=policy)["lease"]
    assert lease["tonight"] == "The 396 steps that are left, until about Thu 03:51."
    assert document(state)["lease"]["tonight"] is None
    panel = job(phase=Phase.RUNNING)
    assert document(state_of([panel], lease=panel.id), policy=policy)["lease"]["tonight"] is None


def test_status_toml_says_when_a_held_job_is_looked_at_again() -> None:
    held = job(phase=Phase.HELD)._replace(code="WINDOW_CLOSED", not_before=1_795_000_000_000)
    status = tomllib.loads(job_status_toml(held).decode())
    assert status["not_before"] == status["next_look"] == "2026-11-18T11:06:40.000Z"
    assert "next_look" not in tomllib.loads(job_status_toml(job(phase=Phase.HELD)).decode())
