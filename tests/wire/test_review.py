"""A review tells a person what happened, in few lines, whatever the ledger holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.events import (
    AttemptEnded,
    AttemptStarted,
    ControlTaken,
    DaemonStarted,
    DaemonStopped,
    Event,
    Incident,
    JobApproved,
    JobDuplicate,
    JobEnded,
    JobHeld,
    JobRejected,
    LedgerRestored,
    LedgerTorn,
)
from daemon.core.jobs import Complaint, JobId, Outcome, Phase
from daemon.wire.ledger_line import Head, write_line
from daemon.wire.review import Item, Review, review
from daemon.wire.review_text import TITLE_WIDTH, Page, headline, review_lines, summary_lines
from tests.cli.studio import AT, drawn, failed, started, taken, trained, whole_story
from tests.core.asking import TRAIN
from tests.examples import FILE, accepted

Table = Mapping[str, object]
WIDE = Page(200, 200)


def lines(*events: Event, at: int = AT) -> Sequence[Table]:
    """The events as the ledger's lines, a second apart."""
    head, found = Head(), []
    for number, event in enumerate(events):
        entry, line = write_line(event, at=at + 1000 * number, head=head)
        head = Head(entry.seq, entry.chain, entry.segment)
        found.append(json.loads(line))
    return found


def told(*events: Event, before: Iterable[Event] = ()) -> Mapping[str, Sequence[Item]]:
    """The items of one host's review by section."""
    [host] = review({"mac": lines(*events)}, before={"mac": lines(*before)}).hosts
    return {section.title: section.items for section in host.sections}


def refused(name: str, *errors: Complaint) -> JobRejected:
    return JobRejected(name, "a" * 64, "", errors, 1, 2, 3)


def chapter(pages: int) -> list[Event]:
    """Panels that were asked for in the evening and drawn at night, one after the other."""
    names = [f"ch01_p{page:03}" for page in range(1, pages + 1)]
    asked: list[Event] = [replace(accepted(name), ref=f"run-7/{name}") for name in names]
    return [*asked, *(event for name in names for event in drawn(name))]


def test_a_quiet_night_is_three_lines() -> None:
    night = review({"mac": lines(started(), *whole_story())})
    assert review_lines(night, Page(80, 48)) == [
        "8 events on mac, 2026-11-18 11:06 UTC",
        "Asked     ch01_p003_v1  1 picture, from ch01_p003.toml, ref run-7/ch01/3",
        "Drawn     ch01_p003_v1  1 picture in 3 s, with a, LoRA spyke_v1-000792",
    ]
    assert headline(night) == "1 panel drawn"


def test_a_night_in_which_nothing_was_asked_for_says_so() -> None:
    night = review({"mac": lines(started(), DaemonStopped("asked to stop"))})
    assert review_lines(night, WIDE)[1:] == [
        "Nothing was asked for, drawn or refused, and nothing waits."
    ]
    assert headline(night) == "2 events, no job among them"


def test_nothing_new_is_no_line_at_all() -> None:
    nothing = review({"mac": []}, before={"mac": lines(*whole_story())})
    assert (nothing, summary_lines(nothing)) == (Review(()), [])
    assert headline(nothing) == "nothing new"


def test_a_busy_chapter_is_one_item_and_names_its_first_and_last() -> None:
    found = told(*chapter(24))
    assert found["Asked"] == (
        Item(
            "ch01",
            "24 panels, 48 pictures: ch01_p001_v1 to ch01_p024_v1; "
            "ref run-7/ch01_p001 to run-7/ch01_p024",
        ),
    )
    assert found["Drawn"] == (
        Item("ch01", "24 panels, 48 pictures in 72 s, with a, LoRA spyke_v1-000792"),
    )


def test_many_items_are_summed_up_first() -> None:
    found = told(*(e for name in ("ann", "bob", "cy", "dee") for e in whole_story(name)))
    assert found["Asked"][0] == Item("4 jobs", "4 panels")
    assert found["Drawn"][0] == Item("4 panels", "4 pictures; the GPU worked 12 s")
    assert [item.subject for item in found["Drawn"][1:]] == ["ann_v1", "bob_v1", "cy_v1", "dee_v1"]


def test_files_refused_for_one_reason_are_one_item_the_commonest_first() -> None:
    """The first complaint is told with its line and key; the others are counted."""
    vea = Complaint(5, "vea", "Unknown key.")
    wide = Complaint(3, "width", "1024 is too wide. Write 768 at most.")
    found = told(refused("a.toml", vea, wide), refused("b.toml", wide), refused("c.toml", wide))
    assert found["Refused"] == (
        Item("2 files", "line 3, width: 1024 is too wide. Write 768 at most. (b.toml, c.toml)"),
        Item("a.toml", "line 5, vea: Unknown key. (and 1 more)"),
    )


def test_a_training_tells_its_steps_its_loss_and_what_was_chosen() -> None:
    (item,) = told(*trained())["Trained"]
    assert item.subject == "spyke_v1"
    assert item.text == (
        "396 steps in 4 s, 2 checkpoints, last loss 0.1; step 396 approved and installed; "
        "several attempts: the machine was restarted while it trained"
    )


def test_a_training_without_a_choice_comes_first_and_says_how_to_choose() -> None:
    item, other = told(*trained("cleo"), *trained()[:-2])["Trained"]
    assert (item.subject, other.subject) == ("spyke_v1", "cleo_v1")
    assert "none approved yet: nightpress approve spyke_v1 --checkpoint STEP" in item.text


def test_what_was_chosen_of_an_earlier_training_is_told() -> None:
    story = trained()
    (item,) = told(*story[-2:], before=story[:-2])["Trained"]
    assert "step 396 approved and installed" in item.text


def test_a_panel_that_took_several_attempts_says_why() -> None:
    job = JobId("ch01_p003_v1")
    lost: list[Event] = [
        AttemptStarted(job, 1, "comfyui", "default", 0, stage=""),
        AttemptEnded(job, 1, Outcome.LOST, "ENGINE_GONE", "It went away.", 0, 0.0),
    ]
    asked, *rest = whole_story()
    _, again = told(asked, *lost, *rest)["Drawn"]
    assert again.text == "took several attempts: the engine went away while it worked"


def test_a_failure_says_what_was_seen_and_what_to_look_at_first() -> None:
    (item,) = told(*taken(), *failed())["Failed"]
    assert item.text == "the picture is black or gray (BLACK_OR_GRAY): mean 0.0"
    assert item.check.startswith("Run the VAE in fp32 first")


def test_a_job_that_was_lost_twice_is_not_started_again_and_it_says_so() -> None:
    job = JobId("ch01_p003_v1")
    lost = AttemptEnded(job, 2, Outcome.LOST, "PROMPT_LOST", "It is nowhere.", 0, 0.0)
    (item,) = told(*taken(), lost, JobEnded(job, Phase.QUARANTINED, "PROMPT_LOST"))["Failed"]
    assert "twice, so it is not started a third time: It is nowhere." in item.text


def test_a_failure_that_was_tried_again_is_open_and_no_failure() -> None:
    retried = ControlTaken("ch01_p003_v1", "retry", "", FILE)
    found = told(*taken(), *failed(), retried)
    assert "Failed" not in found
    assert found["Open"] == (Item("ch01_p003_v1", "waits for its turn"),)
    assert found["Noted"] == (Item("by you", "asked for another attempt once"),)


def test_what_was_asked_for_earlier_and_is_still_open_is_told() -> None:
    job = JobId("ch01_p003_v1")
    running = AttemptStarted(job, 1, "comfyui", "default", 0, stage="")
    found = told(running, before=[*taken(), *taken("ch01_p004")])
    assert "Asked" not in found
    assert found["Open"] == (
        Item("ch01_p003_v1", "attempt 1 is being drawn"),
        Item("ch01_p004_v1", "waits for its turn"),
    )


def test_what_holds_the_queue_is_told_with_what_to_look_at_first() -> None:
    held = JobHeld(JobId("ch01_p003_v1"), "DISK_LOW", "9.4 GB are free.", 0)
    paused = ControlTaken("", "pause", "", FILE)
    found = told(started(), *taken(), held, paused, DaemonStopped("asked to stop"))
    assert [item.subject for item in found["Open"]] == ["paused", "daemon", "ch01_p003_v1"]
    assert found["Open"][2].text == "is held: 9.4 GB are free."
    assert found["Open"][2].check.startswith("Free some space")


def test_a_running_training_tells_how_far_it_is_saved() -> None:
    (item,) = told(*trained()[:6])["Open"]
    assert item.text == f"attempt 2 is being trained, step 198 of {TRAIN.steps} is saved"


def test_duplicates_cancellations_approvals_and_objections_have_their_line() -> None:
    job = JobId("ch01_p004_v1")
    found = told(
        *whole_story(),
        JobDuplicate(JobId("ch01_p003_v1"), replace(FILE, name="copy.toml")),
        JobApproved(JobId("ch01_p003_v1"), 1, 0),
        *taken("ch01_p004"),
        ControlTaken(job, "cancel", "", FILE),
        JobEnded(job, Phase.CANCELLED, "CANCELLED"),
        ControlTaken("ch09_p001_v1", "cancel", "There is no such job.", FILE),
    )
    assert found["Asked"][-1].text == "the same request as ch01_p003_v1, so not run again"
    assert found["Drawn"][-1] == Item("approved", "ch01_p003_v1 picture 1")
    assert found["Cancelled"] == (Item("ch01_p004_v1", "as you asked"),)
    assert found["Noted"] == (Item("cancel ch09_p001_v1", "not done: There is no such job."),)


def test_what_happened_to_the_ledger_itself_is_noted() -> None:
    found = told(
        LedgerRestored(3, "ledger/mac/2026-11.jsonl was replaced by an older version."),
        LedgerTorn(12, "ledger/mac/2026-11.jsonl.torn-900"),
        Incident("DISK_LOW", "Little is left."),
        Incident("DISK_LOW", "Less is left."),
    )
    assert [(item.subject, item.text) for item in found["Noted"]] == [
        ("ledger", "ledger/mac/2026-11.jsonl was replaced by an older version."),
        ("incident", "Less is left. (2 times)"),
        (
            "ledger",
            "a line cut off by a crash (12 bytes) was kept as ledger/mac/2026-11.jsonl.torn-900",
        ),
    ]


@pytest.mark.parametrize("stopped", [True, False])
def test_a_daemon_that_began_again_is_noted_and_an_end_that_nobody_recorded_too(
    *, stopped: bool
) -> None:
    end = [DaemonStopped("asked to stop")] if stopped else [Incident("NOTE", "no end")]
    note = told(started(), *end, started())["Noted"][-1].text
    assert note.startswith("started 2 times")
    assert ("once after an end that nobody recorded" in note) is not stopped


def test_a_rehearsal_is_called_one() -> None:
    asked = replace(accepted(), job=JobId("ch01_p003_r1"))
    assert told(asked)["Noted"][-1].subject == "rehearsal"


def test_two_hosts_are_told_apart_and_counted_together() -> None:
    both = review(
        {"mini": lines(*trained(), at=AT + 86_400_000), "mac": lines(*whole_story())}, before={}
    )
    shown = review_lines(both, WIDE)
    assert [line for line in shown if "events on" in line] == [
        "19 events on mac, mini, 2026-11-18 11:06 to 2026-11-19 11:06 UTC",
        "7 events on mac, 2026-11-18 11:06 UTC",
        "12 events on mini, 2026-11-19 11:06 UTC",
    ]
    assert headline(both) == "1 panel drawn, 1 LoRA trained"


def test_without_the_earlier_lines_a_published_training_is_still_one() -> None:
    [host] = review({"mac": lines(*trained()[8:])}).hosts
    assert (host.tally.trained, host.tally.drawn) == (1, 0)


@pytest.mark.parametrize("height", [10, 20, 60])
@pytest.mark.parametrize("count", [1, 6, 7, 8, 30])
def test_a_list_that_is_cut_counts_what_is_missing(count: int, height: int) -> None:
    bad = [refused(f"f{n}.toml", Complaint(n, "", "Bad.")) for n in range(count)]
    shown = review_lines(review({"mac": lines(*bad)}), Page(80, height))
    named = sum(".toml" in line for line in shown)
    missing = [int(line.split()[1]) for line in shown if line.split()[0] == "and"]
    assert named + sum(missing) == count
    assert len(shown) <= height


def test_a_commit_gets_twenty_lines_and_a_headline_of_sixty_characters() -> None:
    bad = [refused(f"f{n}.toml", Complaint(n, "", "Much too bad. " * 20)) for n in range(30)]
    story = [*chapter(30), *trained(), *bad, *taken("z"), *failed("z"), started(), started()]
    busy = review({f"host-{n}": lines(*story) for n in range(12)})
    shown = summary_lines(busy)
    assert len(shown) == 20
    assert max(map(len, shown)) <= 72
    assert shown[-1].split() == ["and", *shown[-1].split()[1:]]
    assert headline(busy) == "360 panels drawn, 12 LoRAs trained, 12 jobs failed"


TEXT = st.text(max_size=12) | st.sampled_from(
    ["a_v1", "b_r2", "failed", "published", "retry", "cancel", "train", "2026-11-18T11:06:40.000Z"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
KNOWN = lines(
    *trained(),
    *whole_story(),
    *taken("x"),
    *failed("x"),
    refused("a.toml", Complaint(1, "k", "t")),
    JobDuplicate(JobId("a_v1"), FILE),
    JobHeld(JobId("spyke_v1"), "C", "t", 0),
    ControlTaken("spyke_v1", "cancel", "", FILE),
    ControlTaken("spyke_v1", "retry", "no", FILE),
    LedgerRestored(1, "c"),
    LedgerTorn(1, "k"),
    Incident("C", "t"),
    DaemonStarted("1", "comfyui"),
    DaemonStopped("r"),
)
OURS = {"type", "kind", "outcome", "phase", "at", "job"}


def forged(value: object) -> object:
    """A value of the ledger with every text in it as somebody malicious would write it."""
    match value:
        case str():
            return "Refused\x1b[2J\n\u202eNightpress-Ledger: " + "mac " * 40
        case dict():
            return {key: item if key in OURS else forged(item) for key, item in value.items()}
        case list():
            return [forged(item) for item in value]
        case _:
            return value


def assert_is_ours(found: Review) -> None:
    """What is shown of a review is printable, as wide as it may be, and begins with our words."""
    titles = {section.title for one in found.hosts for section in one.sections}
    for page in (Page(60, 48), Page(120, 48, local=str)):
        first, *others = review_lines(found, page) or [""]
        assert first.isprintable()
        for line in others:
            assert line.isprintable()
            assert len(line) <= page.width
            ours = line[:TITLE_WIDTH].strip() in {"", *titles}
            assert ours or line.startswith("Nothing was asked for")
    assert len(summary_lines(found)) <= 20
    assert all(len(line) <= 72 and line.isprintable() for line in summary_lines(found))
    assert len(headline(found)) <= 60


def test_text_from_outside_can_neither_move_a_cursor_nor_begin_a_line() -> None:
    """A commit's trailer is a line of its own: a file's name must not make one."""
    forgery = [
        {**line, **{k: forged(v) for k, v in line.items() if k not in OURS}} for line in KNOWN
    ]
    found = review({"mac": forgery})
    assert {section.title for section in found.hosts[0].sections} > {"Refused", "Failed", "Noted"}
    assert_is_ours(found)


def test_a_line_with_another_time_than_ours_is_told_without_a_duration() -> None:
    story = [{**line, "at": "yesterday"} for line in lines(*whole_story())]
    shown = review_lines(review({"mac": story}), WIDE)
    assert shown[0] == "7 events on mac, yesterday UTC"
    assert "1 picture in less than a second" in shown[-1]


@st.composite
def damaged_lines(draw: st.DrawFn) -> Table:
    """A line of the ledger in which some values were replaced by anything, or left out."""
    line = dict(draw(st.sampled_from(KNOWN)))
    keys = st.sampled_from(sorted(line))
    for key in draw(st.lists(keys, max_size=2)):
        line[key] = draw(JSON)
    if draw(st.booleans()):
        del line[draw(st.sampled_from(sorted(line)))]
    return line


@pytest.mark.parametrize(
    "value", [None, True, -7, 10**30, 1e400, "", "x", [], [None], {}, {"a": 1}]
)
def test_a_value_of_another_type_is_no_reason_to_say_nothing(value: object) -> None:
    for key in sorted({key for line in KNOWN for key in line} - {"type"}):
        odd = [{**line, key: value} if key in line else line for line in KNOWN]
        found = review({"mac": odd}, before={"mac": odd})
        assert found.hosts[0].sections
        assert_is_ours(found)


@given(
    st.lists(damaged_lines() | st.dictionaries(TEXT, JSON, max_size=4), max_size=12),
    st.lists(damaged_lines(), max_size=4),
    TEXT,
)
def test_whatever_the_lines_hold_they_are_reviewed_and_nothing_is_raised(
    new: Sequence[Table], before: Sequence[Table], host: str
) -> None:
    assert_is_ours(review({host: new}, before={host: before}))
