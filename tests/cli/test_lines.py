"""The ledger's lines as the command line reads them."""

from __future__ import annotations

from pathlib import Path

from daemon.cli.lines import Line, Tail, last_seq, segments, seq, what
from daemon.cli.tables import raw
from daemon.core.events import Incident
from tests.cli.studio import StudioFiles, control, refusal, started, trained, whole_story
from tests.examples import FILE


def test_a_tail_gives_each_line_once_and_leaves_an_unfinished_one_for_later(
    tmp_path: Path,
) -> None:
    studio = StudioFiles(tmp_path)
    studio.write(started(), *whole_story())
    whole = studio.segment.read_bytes()
    studio.segment.write_bytes(whole[:-10])
    tail = Tail(tmp_path)
    assert [seq(line) for line in tail.lines()] == [1, 2, 3, 4, 5, 6, 7]
    studio.segment.write_bytes(whole)
    assert [seq(line) for line in tail.lines()] == [8]
    assert tail.lines() == []


def test_what_is_skipped_is_what_was_there(tmp_path: Path) -> None:
    studio = StudioFiles(tmp_path)
    studio.write(started())
    tail = Tail(tmp_path)
    tail.skip()
    studio.write(Incident("DISK_LOW", "Little is left."))
    assert [seq(line) for line in tail.lines()] == [2]


def test_lines_of_two_hosts_come_in_the_order_of_their_time(tmp_path: Path) -> None:
    for host, count in (("mac", 2), ("mini", 3)):
        studio = StudioFiles(tmp_path, host=host)
        studio.write(*[Incident("NOTE", host)] * count)
    lines = Tail(tmp_path).lines()
    assert [(line.host, seq(line)) for line in lines] == [
        ("mac", 1),
        ("mini", 1),
        ("mac", 2),
        ("mini", 2),
        ("mini", 3),
    ]


def test_a_segment_is_no_link_and_no_other_file(tmp_path: Path) -> None:
    studio = StudioFiles(tmp_path)
    studio.write(started())
    (tmp_path / "ledger" / "studio").write_text("0123456789ab\n")
    (tmp_path / "ledger" / "mac" / "notes.txt").write_text("x")
    (tmp_path / "ledger" / "mac" / "2026-12.jsonl").symlink_to(studio.segment)
    assert segments(tmp_path) == {"mac": [studio.segment]}
    assert last_seq(studio.segment) == 1


def test_every_event_has_words_and_none_of_them_can_move_a_cursor(tmp_path: Path) -> None:
    studio = StudioFiles(tmp_path)
    answer = control("cancel", "a_v1", "There is no such job.\x1b]0;x\x07")
    assert callable(answer)
    studio.write(started(), *whole_story(), *refusal(FILE), *answer(FILE, b""))
    words = [what(line.table) for line in Tail(tmp_path).lines()]
    assert all(words)
    assert all(text.isprintable() for text in words)


def test_the_events_of_a_training_are_told_in_words(tmp_path: Path) -> None:
    studio = StudioFiles(tmp_path)
    studio.write(*trained())
    told = {raw(line.table, "type"): what(line.table) for line in Tail(tmp_path).lines()}
    assert told["job.accepted"] == "train, 990 steps on 18 pictures, from ch01_p003.toml"
    assert told["dataset.recorded"] == "18 pictures"
    assert told["checkpoint.saved"] == "step 396, loss 0.1"
    assert told["job.approved"] == "checkpoint of step 396"
    assert told["lora.installed"] == "spyke_v1-000396.safetensors in the engine's models/loras"


def test_a_line_that_is_no_json_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    studio = StudioFiles(tmp_path)
    studio.write(started())
    with studio.segment.open("ab") as file:
        file.write(b"not json\n")
    told: list[str] = []
    lines = Tail(tmp_path, damaged=told.append).lines()
    assert [line.host for line in lines] == ["mac"]
    assert told == ["ledger/mac/2026-11.jsonl: a line cannot be read"]
    assert isinstance(lines[0], Line)
