"""The promise of the inbox, clause by clause: what a real daemon did before a folder of traps.

"No file dropped in the inbox can run code, read or write outside the studio and the configured
model folders, stop the daemon, or vanish without a ledger line."
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.process import PANEL, RealStudio, end, until
from tests.shell.hostile_files import BOMBS, hostile_file
from tests.wire.test_png_text import picture

pytestmark = pytest.mark.realprocess

ROOT = Path(__file__).resolve().parents[1]
AUDITED = ROOT / "tests" / "audited.py"
SECRET = "the secret of mark4711"
"""What lies outside, and what is nowhere in the studio afterwards."""
MARK = "mark4712"
"""In everything that is dropped: no program is told it, and no code has it."""
GIANTS = (
    *("poses/giant.png", "datasets/giant/a.png", "datasets/giant/a.txt"),
    *("workflows/giant.json", "workflows/giant.slots.toml"),
)
NUMBERED = 60
RUNNING = ("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pty.")
LOADING = ("exec", "compile", "import", "marshal.", "pickle.", "ctypes.dlopen")
TOUCHING = ("open", "os.", "shutil.")


@dataclass(frozen=True)
class Aftermath:
    """``dropped`` are the names of files that ask for an answer, ``left`` of what asks for none;
    ``did`` is what the daemon did from the first drop on, as ``audited`` has it.
    """

    studio: RealStudio
    outside: Path
    before: Mapping[str, bytes]
    dropped: Sequence[str]
    left: Sequence[str]
    did: Sequence[Sequence[Any]]
    exit_status: int


def wishes(outside: Path) -> Iterator[str]:
    """Jobs that ask for what lies outside, or for a command to be run."""
    command = f"touch {outside}/pwned #{MARK}"
    for way in (
        f"../outside/{{}}{MARK}",
        f"{outside}/{{}}{MARK}",
        f"poses/../../outside/{{}}{MARK}",
    ):
        picture, model = (way.format("secret") + end for end in (".png", ".safetensors"))
        yield PANEL + f'[controlnet]\nmodel = "net.safetensors"\nimage = "{picture}"\n'
        yield PANEL.replace("a.safetensors", model)
        yield PANEL + f'[[lora]]\nname = "{model}"\n'
        yield PANEL + f'workflow = "{way.format("secret")}"\n'
        yield PANEL.replace("spyke,", f"embedding:{way.format('x')},")
        yield f'kind = "reproduce"\nlock = "{way.format("secret")}.lock.toml"\n'
        yield _training(way.format(""))
    for name in ("link", "giant"):
        yield PANEL + f'[controlnet]\nmodel = "net.safetensors"\nimage = "poses/{name}.png"\n'
        yield PANEL + f'workflow = "{name}"\n'
        yield _training(f"datasets/{name}")
    yield 'kind = "reproduce"\nlock = "outbox/link/a.lock.toml"\n'
    for text in (
        f"$({command})",
        f"`{command}`",
        f"'; {command}",
        f"| {command}",
        f"{{{command}}}",
    ):
        yield PANEL.replace("spyke", text)
        yield PANEL + f'ref = "{text[:60]}"\n'
        yield PANEL + f'panel = "{text}"\n'
        yield _training("datasets/none").replace("spyke", text)
    yield PANEL.replace("a.safetensors", f"{MARK}.ckpt")
    yield PANEL + f"__import__('os').system('{command}')\n"
    yield f"!!python/object/apply:os.system ['{command}']\n"


def _training(dataset: str) -> str:
    return f"""kind = "train"
lora = "spyke"
trigger = "spyke"
dataset = "{dataset}"
force = true
checkpoint = "a.safetensors"
vae = "v.safetensors"
"""


def lay_out(outside: Path) -> Mapping[str, bytes]:
    """What nobody may read or change."""
    (outside / "dataset").mkdir(parents=True)
    for name in ("secret.toml", "secret.safetensors", "dataset/a.txt", "a.lock.toml"):
        (outside / name).write_text(PANEL.replace("spyke", SECRET))
    for name in ("secret.png", "dataset/a.png"):
        (outside / name).write_bytes(picture({"comment": SECRET}))
    (outside / "secret.json").write_text(json.dumps({"1": {"class_type": SECRET, "inputs": {}}}))
    return _contents(outside)


def _contents(folder: Path) -> Mapping[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def set_traps(studio: Path, outside: Path) -> Sequence[str]:
    """What lies in the inbox and is no plain file of ours, and links elsewhere; the inbox's."""
    inbox = studio / "inbox"
    (inbox / "link.toml").symlink_to(outside / "secret.toml")
    (inbox / "nowhere.toml").symlink_to(outside / "new.toml")
    (inbox / "hard.toml").hardlink_to(outside / "secret.toml")
    (inbox / "folder.toml").symlink_to(outside)
    os.mkfifo(inbox / "fifo.toml")
    (inbox / "deep.toml").mkdir()
    (studio / "poses" / "link.png").symlink_to(outside / "secret.png")
    (studio / "datasets" / "link").symlink_to(outside / "dataset")
    (studio / "workflows" / "link.json").symlink_to(outside / "secret.json")
    for giant in GIANTS:
        _sparse(studio / giant)
    for name in ("link", "trap_r1"):
        (studio / "outbox" / name).symlink_to(outside)
    return sorted(path.name for path in inbox.iterdir())


def drop_all(studio: RealStudio, files: Iterator[tuple[str, bytes]]) -> list[str]:
    """As a program drops them, each under a name of its own; the names."""
    names = []
    for number, (name, data) in enumerate(files):
        stem = name.encode(errors="replace").replace(b"/", b"_").replace(b"\0", b"_")
        plain = f"{number:03}-{stem.removesuffix(b'.toml')[:150].decode(errors='ignore')}"
        temporary = studio.root / "inbox" / f".{plain}.tmp"
        temporary.write_bytes(data)
        temporary.rename(studio.root / "inbox" / f"{plain}.toml")
        names.append(unicodedata.normalize("NFC", f"{plain}.toml"))
    _sparse(studio.root / "inbox" / "giant.toml")
    return [*names, "giant.toml"]


def _sparse(path: Path) -> None:
    """A file of 64 GiB that takes no room."""
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        file.truncate(2**36)


def hostile(outside: Path) -> Iterator[tuple[str, bytes]]:
    """The wishes, the bombs and some of the thousands, with their names."""
    for text in wishes(outside):
        yield "wish.toml", text.encode()
    yield f"$(touch pwned) `touch pwned` ; {MARK} -rf __import__.toml", PANEL.encode()
    yield from BOMBS.items()
    yield from map(hostile_file, range(NUMBERED))


def answered(studio: RealStudio) -> set[str]:
    """The names of the files that have a ledger line."""
    kinds = ("job.accepted", "job.rejected", "job.duplicate", "control.taken")
    lines = [line for kind in kinds for line in studio.events(kind)]
    return {line.get("file", line).get("name") for line in lines}


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Aftermath:
    folder = tmp_path_factory.mktemp("promise")
    studio, outside, record = RealStudio(folder), folder / "outside", folder / "record"
    (studio.root / "nightpress.toml").write_text(
        "[disk]\nmin_free_gb = 0\n[intake]\nsettle_s = 0.2\nrescan_s = 0.5\n"
    )
    before = lay_out(outside)
    left = set_traps(studio.root, outside)
    with (folder / "said.txt").open("wb") as said:
        child = subprocess.Popen(
            [sys.executable, AUDITED, record],
            env=studio.environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        until(lambda: studio.status().get("engine", {}).get("ready"))
        start = record.stat().st_size
        dropped = drop_all(studio, hostile(outside))
        until(lambda: child.poll() is not None or answered(studio) >= {*dropped})
        studio.drop("on", 'kind = "resume"\n')  # Some of them asked for a pause.
        studio.drop("trap", PANEL.replace("421", "422") + "priority = 9\n")
        studio.drop("good", PANEL + "priority = 9\n")
        until(lambda: child.poll() is not None or _is_published(studio, "good_r1"))
        child.send_signal(signal.SIGTERM)
        status = child.wait(10)
    finally:
        end(child)
        studio.close()
    did = [json.loads(line) for line in record.read_bytes()[start:].splitlines()]
    return Aftermath(studio, outside, before, dropped, left, did, status)


def _is_published(studio: RealStudio, job: str) -> bool:
    return any(line["job"] == job for line in studio.events("result.published"))


def test_no_file_runs_code(aftermath: Aftermath) -> None:
    """The promise: "No file dropped in the inbox can run code": what is run and loaded is the
    daemon's own, and nothing of a file is in its arguments.
    """
    assert {event for event, *_ in aftermath.did} >= {"open", "import", "exec", "subprocess.Popen"}
    ours = tuple(map(str, (ROOT, sys.prefix, sys.base_prefix, "<")))
    for event, *arguments in aftermath.did:
        if event.startswith((*RUNNING, *LOADING)):
            assert MARK not in json.dumps(arguments), (event, arguments)
        if event.startswith(RUNNING):
            program = os.path.realpath(arguments[0])
            assert program in map(os.path.realpath, (sys.executable, shutil.which("git") or "")), (
                arguments
            )
        if event in ("exec", "compile"):
            assert str(arguments[-1]).startswith(ours), (event, arguments)
        assert not event.startswith(("pickle.", "os.system")), arguments
    assert not list(aftermath.studio.root.rglob("pwned*"))
    assert not (aftermath.outside / "pwned").exists()


def test_no_file_reads_or_writes_outside(aftermath: Aftermath) -> None:
    """The promise: "or read or write outside the studio and the configured model folders": every
    path that is opened or changed is in the studio, the daemon's own or the system's, or it is one
    name in a folder that was opened before.
    """
    studio = aftermath.studio
    own = (studio.root, studio.environment["HOME"], ROOT, sys.prefix, sys.base_prefix)
    system = ("/proc", "/sys", "/dev", "/etc/localtime", "/usr/share/zoneinfo")
    for event, *arguments in aftermath.did:
        for path in (text for text in arguments if isinstance(text, str)):
            if event.startswith(TOUCHING) and "/" in path:
                assert ".." not in path.split("/"), (event, path)
                assert str(aftermath.outside) not in path, (event, path)
                assert path.startswith((*map(str, own), *system)), (event, path)
            assert path != ".." or not event.startswith(TOUCHING)
    assert _contents(aftermath.outside) == aftermath.before
    written = (path for path in studio.root.rglob("*") if not path.is_symlink() and path.is_file())
    known = {path for path in written if path.name != "hard.toml" and path.stat().st_size < 2**30}
    assert [path for path in known if SECRET.encode() in path.read_bytes()] == []


def test_no_file_stops_the_daemon(aftermath: Aftermath) -> None:
    """The promise: "or stop the daemon": it drew a good panel after all of them, and ended when it
    was told to.
    """
    assert aftermath.exit_status == 0
    assert _is_published(aftermath.studio, "good_r1")
    assert len(aftermath.studio.events("daemon.started")) == 1
    assert aftermath.studio.nightpress("verify").returncode == 0


def test_no_file_vanishes_without_a_ledger_line(aftermath: Aftermath) -> None:
    """The promise: "or vanish without a ledger line": each file is answered by name and gone, and
    what is no plain file of ours still lies there, as does one for which there is no folder.
    """
    studio = aftermath.studio
    assert {*aftermath.dropped} - answered(studio) == set()
    lying = sorted(path.name for path in (studio.root / "inbox").iterdir())
    assert lying == sorted([*aftermath.left, "trap.toml"])
    [told] = [i["text"] for i in studio.events("incident") if i["code"] == "INBOX_BLOCKED"]
    assert "outbox/trap_r1 is a link" in told
