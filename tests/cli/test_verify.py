"""`verify`: whether the ledger can be believed, and if not, what is wrong and who has it right."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.adapters.disk import StudioDisk
from daemon.cli import main
from daemon.core.events import Incident
from daemon.shell.ledger import Ledger
from daemon.wire.checkpoint import Trailer, render
from daemon.wire.ledger_line import Head, render_head
from tests import needs
from tests.cli.studio import StudioFiles, started, whole_story
from tests.wire.test_ledger_line import forged

Captured = pytest.CaptureFixture[str]
SEGMENT = "ledger/mac/2026-11.jsonl"


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudioFiles:
    monkeypatch.setenv("NIGHTPRESS_STUDIO", str(tmp_path))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    files = StudioFiles(tmp_path)
    files.write(started(), *whole_story())
    return files


def verified(capsys: Captured) -> tuple[str, dict[str, Any]]:
    """What is said for people, and the document of the first host, of a ledger that is damaged."""
    assert main(["verify"]) == 1
    said = capsys.readouterr().out
    assert main(["verify", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["damaged"] is True
    return said, answer["hosts"][0]


def lines_of(studio: StudioFiles) -> list[bytes]:
    return studio.segment.read_bytes().splitlines(keepends=True)


def shell(command: str, studio: StudioFiles) -> None:
    subprocess.run(["sh", "-ec", command], cwd=studio.root, check=True, capture_output=True)


def committed(studio: StudioFiles) -> None:
    git = needs.program("git")
    name = "-c user.name=a -c user.email=a@b.c -c commit.gpgsign=false"
    shell(f"{git} init -q; {git} add ledger; {git} {name} commit -qm ledger", studio)


def test_an_intact_ledger_is_counted(studio: StudioFiles, capsys: Captured) -> None:
    assert main(["verify"]) == 0
    said = capsys.readouterr().out
    assert said == f"mac: intact, 8 lines in 1 segment, head seq 8 chain {studio.head.chain}\n"
    assert main(["verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "damaged": False,
        "hosts": [
            {
                "host": "mac",
                "segments": 1,
                "lines": 8,
                "seq": 8,
                "chain": studio.head.chain,
                "damage": None,
                "repair": None,
                "torn_bytes": 0,
            }
        ],
    }


@pytest.mark.parametrize("at", [0, 3, 7])
def test_a_changed_line_is_told_with_its_place(
    studio: StudioFiles, capsys: Captured, at: int
) -> None:
    lines = lines_of(studio)
    lines[at] = lines[at].replace(b'"seq"', b'"sEq"')
    studio.segment.write_bytes(b"".join(lines))
    said, verdict = verified(capsys)
    assert f"mac: damaged, {at} line" in said
    assert f"{SEGMENT} line {at + 1}: CHANGED. " in said
    assert 'line        {"sEq":' in said
    assert (verdict["lines"], verdict["seq"]) == (at, at)
    damage = verdict["damage"]
    assert (damage["segment"], damage["line"], damage["code"]) == (SEGMENT, at + 1, "CHANGED")
    assert damage["expected"]["seq"] == at + 1
    assert damage["expected"]["chain"] != damage["found"]["chain"]
    assert damage["after"] == {"lines": 7 - at, "readable": 7 - at, "chained": 7 - at}
    assert damage["lost"] == [at + 1, at + 1]
    assert damage["remedy"]


def test_the_keys_of_a_damage_stay(studio: StudioFiles, capsys: Captured) -> None:
    studio.segment.write_bytes(b"".join(lines_of(studio)[1:]))
    _, verdict = verified(capsys)
    keys = "segment line code text shown expected found lost after remedy"
    assert list(verdict["damage"]) == keys.split()


def test_a_torn_last_line_is_told_and_is_no_damage(studio: StudioFiles, capsys: Captured) -> None:
    studio.segment.write_bytes(studio.segment.read_bytes()[:-10])
    assert main(["verify"]) == 0
    assert "cut off by a crash" in capsys.readouterr().out
    assert main(["verify", "--json"]) == 0
    [verdict] = json.loads(capsys.readouterr().out)["hosts"]
    assert verdict["torn_bytes"] > 0


def test_while_a_daemon_writes_a_torn_line_is_not_spoken_of(
    studio: StudioFiles, capsys: Captured
) -> None:
    studio.segment.write_bytes(studio.segment.read_bytes()[:-10])
    with studio.guarded():
        assert main(["verify"]) == 0
    assert "crash" not in capsys.readouterr().out


def test_what_a_damaged_file_holds_moves_no_cursor(studio: StudioFiles, capsys: Captured) -> None:
    studio.segment.write_bytes(b"\x1b[2J\xe2\x80\xae\x07\n" + studio.segment.read_bytes())
    said, verdict = verified(capsys)
    assert "\\x1b[2J\\u202e\\x07" in said
    assert all(line.isprintable() for line in said.splitlines())
    assert verdict["damage"]["code"] == "EXTRA"


def test_what_a_line_says_in_an_unknown_word_moves_no_cursor(
    studio: StudioFiles, capsys: Captured
) -> None:
    escape: dict[str, Any] = {"\x1b[2J": 1}
    strange = forged(type="incident", code="A", text="B", **escape)
    studio.segment.write_bytes(strange)
    said, verdict = verified(capsys)
    assert verdict["damage"]["code"] == "NEWER"
    assert all(line.isprintable() for line in said.splitlines())
    assert main(["status"]) == 1
    assert "\x1b" not in capsys.readouterr().err


def test_missing_lines_between_two_segments_are_told(studio: StudioFiles, capsys: Captured) -> None:
    december = studio.segment.with_name("2026-12.jsonl")
    lines = lines_of(studio)
    studio.segment.write_bytes(b"".join(lines[:3]))
    december.write_bytes(b"".join(lines[5:]))
    said, _ = verified(capsys)
    assert "2026-12.jsonl line 1: MISSING. Missing before this line (or at the end of the" in said
    assert "what seq 4 to 5 said" in said


# What is remembered elsewhere


def note(studio: StudioFiles, head: Head) -> None:
    path = studio.root / ".nightpress/head.json"
    path.write_bytes(render_head(head, host=studio.host))


def test_a_ledger_shorter_than_its_note_is_damaged(studio: StudioFiles, capsys: Captured) -> None:
    note(studio, studio.head)
    studio.segment.write_bytes(b"".join(lines_of(studio)[:-2]))
    said, verdict = verified(capsys)
    assert f"{SEGMENT}: SHORT. The file ends too early: .nightpress/head.json" in said
    assert f"expected    seq 8, chain {studio.head.chain}" in said
    assert (verdict["lines"], verdict["damage"]["lost"]) == (6, [7, 8])


def test_a_torn_line_that_was_believed_once_is_damage(
    studio: StudioFiles, capsys: Captured
) -> None:
    note(studio, studio.head)
    studio.segment.write_bytes(studio.segment.read_bytes()[:-1])
    assert verified(capsys)[1]["damage"]["code"] == "SHORT"


def test_a_host_that_is_remembered_and_gone_is_damaged(
    studio: StudioFiles, capsys: Captured
) -> None:
    note(studio, studio.head)
    studio.segment.unlink()
    _, verdict = verified(capsys)
    assert (verdict["host"], verdict["segments"]) == ("mac", 0)
    assert verdict["damage"]["code"] == "SHORT"


def test_another_ledger_than_the_one_that_is_noted_is_damaged(
    studio: StudioFiles, capsys: Captured
) -> None:
    note(studio, Head(3, "0" * 32, "2026-11"))
    assert verified(capsys)[1]["damage"]["code"] == "REWRITTEN"


def test_a_ledger_may_be_ahead_of_its_note(studio: StudioFiles) -> None:
    note(studio, studio.head)
    studio.write(Incident("NOTE", "Not noted yet."))
    assert main(["verify"]) == 0


def test_a_note_that_cannot_be_read_says_nothing(studio: StudioFiles) -> None:
    (studio.root / ".nightpress/head.json").write_bytes(b"[]")
    assert main(["verify"]) == 0


# Who has it right


def changed(studio: StudioFiles) -> None:
    studio.segment.write_bytes(studio.segment.read_bytes().replace(b"good", b"fine"))


def cut_out(studio: StudioFiles) -> None:
    lines = lines_of(studio)
    studio.segment.write_bytes(b"".join([*lines[:3], *lines[5:]]))


def conflict(studio: StudioFiles) -> None:
    lines = lines_of(studio)
    studio.segment.write_bytes(
        b"".join([*lines[:5], b"<<<<<<< HEAD\n", *lines[5:7], b"=======\n>>>>>>> main\n"])
    )


def overwritten(studio: StudioFiles) -> None:
    data = studio.segment.read_bytes()
    studio.segment.write_bytes(data[:900] + bytes(512) + data[900 + 512 :])


def ends_too_early(studio: StudioFiles) -> None:
    note(studio, studio.head)
    studio.segment.write_bytes(b"".join(lines_of(studio)[:2]))


def rewritten_ends(studio: StudioFiles) -> None:
    studio.segment.write_bytes(studio.segment.read_bytes().replace(b"\n", b"\r\n"))


@pytest.mark.parametrize(
    "harm", [changed, cut_out, conflict, overwritten, ends_too_early, rewritten_ends]
)
def test_the_command_that_is_told_puts_back_what_git_has(
    studio: StudioFiles, capsys: Captured, harm: Callable[[StudioFiles], None]
) -> None:
    """K2.1: a person need not work out which bytes of which version go where."""
    whole = studio.segment.read_bytes()
    committed(studio)
    harm(studio)
    damaged = studio.segment.read_bytes()
    said, verdict = verified(capsys)
    assert "has lines 1 to 8" in said
    assert studio.segment.read_bytes() == damaged
    shell(verdict["repair"]["command"], studio)
    assert studio.segment.read_bytes() == whole
    assert studio.segment.with_name(f"{studio.segment.name}.damaged").read_bytes() == damaged
    assert main(["verify"]) == 0


def test_what_was_written_after_the_commit_is_kept(studio: StudioFiles, capsys: Captured) -> None:
    committed(studio)
    studio.write(Incident("NOTE", "One."), Incident("NOTE", "Two."))
    whole = studio.segment.read_bytes()
    changed(studio)
    _, verdict = verified(capsys)
    assert "the file goes on after them at line 9" in verdict["repair"]["source"]
    shell(verdict["repair"]["command"], studio)
    assert studio.segment.read_bytes() == whole


def test_a_damage_that_was_committed_is_looked_for_in_older_commits(
    studio: StudioFiles, capsys: Captured
) -> None:
    whole = studio.segment.read_bytes()
    committed(studio)
    changed(studio)
    shell("git -c user.name=a -c user.email=a@b.c commit -qam damage", studio)
    shell(verified(capsys)[1]["repair"]["command"], studio)
    assert studio.segment.read_bytes() == whole


def test_changed_line_ends_cost_nothing_and_need_no_copy(
    studio: StudioFiles, capsys: Captured
) -> None:
    whole = studio.segment.read_bytes()
    rewritten_ends(studio)
    shell(verified(capsys)[1]["repair"]["command"], studio)
    assert studio.segment.read_bytes() == whole


def test_what_a_copy_does_not_have_is_said_to_be_kept_aside(
    studio: StudioFiles, capsys: Captured
) -> None:
    lines = lines_of(studio)
    studio.segment.write_bytes(b"".join(lines[:6]))
    committed(studio)
    dated = [line.replace(b'"at":"20', b'"at":"21') for line in lines]
    studio.segment.write_bytes(b"".join(dated))
    said, _ = verified(capsys)
    assert "has lines 1 to 6" in said
    assert f"what the file has beyond them is kept in {SEGMENT}.damaged only" in said


def test_of_a_copy_that_is_damaged_too_only_the_good_lines_are_taken(
    studio: StudioFiles, capsys: Captured
) -> None:
    lines = lines_of(studio)
    studio.segment.write_bytes(b"".join([*lines[:6], b"damage\n", *lines[7:]]))
    committed(studio)
    studio.segment.write_bytes(b"".join([*lines[:2], b"damage\n", *lines[3:]]))
    shell(verified(capsys)[1]["repair"]["command"], studio)
    assert lines_of(studio) == lines


def test_the_spare_is_asked_before_git(studio: StudioFiles, capsys: Captured) -> None:
    spare = studio.root / ".nightpress/spare/mac" / studio.segment.name
    spare.parent.mkdir(parents=True)
    shutil.copy(studio.segment, spare)
    whole = spare.read_bytes()
    changed(studio)
    _, verdict = verified(capsys)
    assert verdict["repair"]["source"].startswith(".nightpress/spare/mac/2026-11.jsonl has lines")
    shell(verdict["repair"]["command"], studio)
    assert studio.segment.read_bytes() == whole


def test_the_daemon_goes_on_with_what_was_put_back(studio: StudioFiles, capsys: Captured) -> None:
    """Its second name for the file must not bring the damage back."""

    async def start() -> None:
        ledger = Ledger(StudioDisk(studio.root), host=studio.host)
        await ledger.load()
        await ledger.look()
        assert ledger.head.chain == studio.head.chain

    asyncio.run(start())
    committed(studio)
    changed(studio)
    shell(verified(capsys)[1]["repair"]["command"], studio)
    asyncio.run(start())


def test_lines_that_are_gone_before_the_next_segment_are_put_back_there(
    studio: StudioFiles, capsys: Captured
) -> None:
    lines = lines_of(studio)
    december = studio.segment.with_name("2026-12.jsonl")
    studio.segment.write_bytes(b"".join(lines[:6]))
    december.write_bytes(b"".join(lines[6:]))
    committed(studio)
    studio.segment.write_bytes(b"".join(lines[:4]))
    shell(verified(capsys)[1]["repair"]["command"], studio)
    assert studio.segment.read_bytes() == b"".join(lines[:6])
    assert main(["verify"]) == 0


def test_a_segment_that_only_git_has_is_asked_of_git(studio: StudioFiles, capsys: Captured) -> None:
    note(studio, studio.head)
    committed(studio)
    studio.segment.unlink()
    shell(verified(capsys)[1]["repair"]["command"], studio)
    assert main(["verify"]) == 0


def test_where_nobody_has_it_right_the_remedy_is_told(
    studio: StudioFiles, capsys: Captured
) -> None:
    changed(studio)
    with studio.guarded():
        said, verdict = verified(capsys)
    assert verdict["repair"] is None
    assert "what to do  Stop the daemon. Look for the bytes as they were written" in said


# What a checkpoint in git vouches for.


def checkpointed(studio: StudioFiles) -> str:
    """The ledger is committed as the daemon does it; the commit."""
    head = studio.head
    trailer = Trailer("mac", head.segment, head.seq, head.seq, head.chain)
    (studio.root / "message").write_text(render("1 panel drawn", [], trailer=trailer))
    name = "-c user.name=a -c user.email=a@b.c -c commit.gpgsign=false"
    shell(f"git init -q; git {name} commit -q --allow-empty -m first; git add ledger", studio)
    shell(f"git {name} commit -q -F message", studio)
    told = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=studio.root, capture_output=True, text=True, check=True
    )
    return told.stdout[:12]


def shorter(studio: StudioFiles) -> None:
    studio.segment.write_bytes(b"".join(lines_of(studio)[:3]))


def gone(studio: StudioFiles) -> None:
    studio.segment.unlink()


def written_anew(studio: StudioFiles) -> None:
    studio.segment.unlink()
    StudioFiles(studio.root).write(*[started()] * 12)


@pytest.mark.parametrize(
    ("harm", "code"), [(shorter, "SHORT"), (gone, "SHORT"), (written_anew, "REWRITTEN")]
)
@pytest.mark.parametrize("is_reset", [False, True])
def test_what_a_checkpoint_holds_is_missed_and_can_be_had_back(
    studio: StudioFiles,
    capsys: Captured,
    harm: Callable[[StudioFiles], None],
    code: str,
    *,
    is_reset: bool,
) -> None:
    """Where the lines fit each other nothing else can find it, a chain being a chain."""
    commit, whole = checkpointed(studio), studio.segment.read_bytes()
    if is_reset:
        shell("git reset -q HEAD~1", studio)
    assert main(["verify"]) == 0
    capsys.readouterr()
    harm(studio)
    said, verdict = verified(capsys)
    damage = verdict["damage"]
    assert (damage["code"], damage["line"]) == (code, 0)
    assert f"git commit {commit} remembers" in damage["text"]
    assert damage["expected"] == {"seq": 8, "chain": studio.head.chain}
    assert damage["expected"]["chain"] in said
    assert damage["found"]["chain"] != studio.head.chain
    shell(verdict["repair"]["command"], studio)
    assert studio.segment.read_bytes() == whole
    assert main(["verify"]) == 0


def test_a_checkpoint_behind_a_note_is_not_offered_instead_of_it(
    studio: StudioFiles, capsys: Captured
) -> None:
    """It has fewer lines than are there."""
    checkpointed(studio)
    studio.write(started())
    note(studio, Head(10, "1" * 32, studio.head.segment))
    _, verdict = verified(capsys)
    assert verdict["damage"]["code"] == "SHORT"
    assert verdict["repair"] is None


def test_a_ledger_that_goes_on_from_its_checkpoint_is_intact(studio: StudioFiles) -> None:
    checkpointed(studio)
    studio.write(started())
    assert main(["verify"]) == 0
