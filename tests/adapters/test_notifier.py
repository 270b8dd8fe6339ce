"""How a message reaches a desktop: as arguments, or as JSON; and a command that hangs is ended."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from daemon.adapters.notifier import CommandNotifier
from daemon.errors import WorldError
from daemon.wire.notices import Happening, message

EVIL = '"; do shell script "touch /tmp/x" -- -e $(id)'
MESSAGE = message([Happening("failed", "ch01_v1", "STALLED", EVIL)])

pytestmark = pytest.mark.realprocess


def program(folder: Path, name: str, body: str) -> str:
    file = folder / name
    file.write_text(f"#!{sys.executable}\nimport json, sys, time\n{body}\n")
    file.chmod(0o755)
    return str(file)


def show(notifier: CommandNotifier) -> None:
    asyncio.run(notifier.show(MESSAGE))


def test_a_makers_command_reads_the_event_as_json(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    body = f"open({str(out)!r}, 'w').write(json.dumps([sys.argv[1:], sys.stdin.read()]))"
    show(CommandNotifier([program(tmp_path, "tell", body), "--to", "me"], environment={}))
    words, data = json.loads(out.read_text())
    assert words == ["--to", "me"]
    told = json.loads(data)
    assert told["events"] == [{"kind": "failed", "job": "ch01_v1", "code": "STALLED", "text": EVIL}]


def test_linux_shows_it_by_notify_send_with_the_texts_as_arguments(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    program(tmp_path, "notify-send", f"open({str(out)!r}, 'w').write(json.dumps(sys.argv[1:]))")
    show(CommandNotifier((), environment={"PATH": str(tmp_path)}, system="linux"))
    assert json.loads(out.read_text()) == ["--app-name=nightpress", "--", MESSAGE.title, EVIL]


def test_macos_gets_a_fixed_script_and_the_texts_behind_it() -> None:
    notifier = CommandNotifier((), environment={}, system="darwin")
    words = notifier._words(MESSAGE)
    assert words[0] == "/usr/bin/osascript"
    assert EVIL not in words[: words.index("--")]
    assert words[-2:] == (MESSAGE.title, EVIL)


def test_where_nothing_can_show_it_nothing_is_said(tmp_path: Path) -> None:
    show(CommandNotifier((), environment={"PATH": str(tmp_path)}, system="linux"))


@pytest.mark.parametrize("body", ["sys.exit(3)", "time.sleep(60)"])
def test_a_command_that_fails_or_hangs_is_said_and_ended(tmp_path: Path, body: str) -> None:
    command = program(tmp_path, "tell", body)
    with pytest.raises(WorldError, match="ended"):
        show(CommandNotifier([command], environment={}, limit_s=0.5))


def test_a_command_that_is_not_there_is_said() -> None:
    with pytest.raises(WorldError, match="No such file"):
        show(CommandNotifier(["/nonexistent/tell"], environment={}))
