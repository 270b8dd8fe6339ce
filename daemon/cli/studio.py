"""The face: `init`, `run` and `demo`, how a studio begins and how its daemon lives."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic, sleep

from daemon.bootstrap import make_studio, run_daemon
from daemon.cli import main, place
from daemon.cli.arguments import Arguments
from daemon.cli.say import aligned, complain, paint, say
from daemon.cli.tables import inner, status_file

_START_S = 30.0
_STOP_S = 10.0

_NEXT = (
    ("nightpress run", "leave it running; without ComfyUI it rehearses with storyboards"),
    ("nightpress submit FILE", "in another terminal, or put the file into inbox/"),
    ("nightpress status", ""),
)
_SETTINGS = """\
# A studio of `nightpress demo`: storyboards only, even where ComfyUI is set up.
[engine]
use = "rehearsal"
[disk]
min_free_gb = 0.1
"""
_PANEL = """\
kind = "panel"
prompt = "spyke_plasma_v1, white cloak, red bandana, leaping, rain, full body"
negative = "lowres, blurry"
width = 512
height = 768
seeds = [421, 422]
steps = 20
checkpoint = "anything-v5.safetensors"
vae = "vae-ft-mse-840000-ema-pruned.safetensors"
"""
_TOO_LARGE = _PANEL.replace("width = 512", "width = 1024").replace("steps =", "step =")
_LOOK_AT = (
    ("ch01_p003_r1/ch01_p003_r1-01.png", "the picture of the first seed (-02: the second)"),
    ("ch01_p003_r1/ch01_p003_r1-01.lock.toml", "all that it takes to make it again"),
    ("ch01_p003_r1/ch01_p003_r1-01.workflow.json", "the graph; ComfyUI opens it"),
    ("rejected/", "the answer to the file that was refused"),
    ("status.json", "where everything stands, for programs"),
)


def run(arguments: Arguments) -> int:
    """The daemon, in the foreground."""
    return run_daemon(place.studio(arguments), os.environ)


def init(arguments: Arguments) -> int:
    """Make a studio and say what comes next."""
    folder = Path(arguments.dir).expanduser().resolve()
    kept = make_studio(folder, os.environ)
    say(f"{paint('A studio', 'bold')} is at {folder}")
    for name in kept:
        say(f"  kept as it was: {name}")
    if ".gitignore" in kept:
        say("  Add to it:  .nightpress/  inbox/*.toml  outbox/status.json  outbox/rejected/")
    if ".gitattributes" in kept:
        say("  Add to it:  ledger/** -text   (git must not change the ledger's line ends)")
    say(f"\nNext:\n  cd {shlex.quote(str(folder))}")
    for line in aligned(_NEXT):
        say(line)
    say(
        "\nFor real pictures: start ComfyUI, and set COMFYUI_BASE_PATH to the folder that holds its"
    )
    say("models/, before `nightpress run`. nightpress.toml says what else can be set.")
    return 0


def demo(_: Arguments) -> int:
    """Make a studio, print a panel in it, show what came of it."""
    began_s = monotonic()
    studio = Path(mkdtemp(prefix="nightpress-demo-")).resolve()
    make_studio(studio, os.environ)
    (studio / "nightpress.toml").write_text(_SETTINGS, encoding="utf-8")
    say(paint("nightpress demo", "bold"))
    say(f"A studio of its own: {studio}")
    say("Its engine is the rehearsal: storyboards, drawn without a model and without a GPU.")
    for name, text in (("ch01_p003.toml", _PANEL), ("ch01_p004.toml", _TOO_LARGE)):
        (studio / name).write_text(text, encoding="utf-8")
    with _running(studio):
        say(f"\n{paint(_PANEL, 'dim')}".rstrip())
        fine = _nightpress(studio, "submit", f"{studio}/ch01_p003.toml", "--wait")
        say("\nThe next one asks for 1024 x 768, and has a typo.")
        _nightpress(studio, "submit", f"{studio}/ch01_p004.toml")
    fine = _nightpress(studio, "verify") and fine
    _say_where(studio, took_s=monotonic() - began_s)
    return 0 if fine else 1


def _nightpress(studio: Path, *words: str) -> bool:
    """Say a command and obey it; whether the answer is good."""
    command = " ".join(("$ nightpress", *words))
    say(f"\n{paint(command, 'cyan')}")
    status = main(["--studio", str(studio), *words])
    if status == 128 + signal.SIGINT:
        raise KeyboardInterrupt
    return status == 0


@contextmanager
def _running(studio: Path) -> Iterator[None]:
    """A daemon of the studio, as a process of its own, from its first answer to its end."""
    # -P: the folder in which somebody typed `nightpress demo` is no place to import from.
    command = [sys.executable, "-P", "-m", "daemon", "run", "--studio", str(studio)]
    output = studio / "daemon.out"
    with output.open("wb") as file:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
    try:
        say(f"\n{paint('$ nightpress run &', 'cyan')}   (pid {child.pid})")
        _await_engine(studio, child, output)
        yield
    finally:
        child.terminate()
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            complain("The daemon did not stop when it was asked to, and was killed.")


def _await_engine(studio: Path, child: subprocess.Popen[bytes], output: Path) -> None:
    deadline_s = monotonic() + _START_S
    while monotonic() < deadline_s and child.poll() is None:
        ready = inner(status_file(studio), "engine").get("ready") is True
        if ready and place.is_alive(studio):
            return
        sleep(0.05)
    said = output.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise place.Bad(f"The demo's daemon did not start. It said:\n{said}")


def _say_where(studio: Path, *, took_s: float) -> None:
    say(f"\nDone in {took_s:.1f} s. The outbox is\n\n  {paint(f'{studio}/outbox', 'bold')}\n")
    say("Look there at")
    for line in aligned(_LOOK_AT):
        say(line)
    say("\nWhat happened, event by event (the folder can be deleted afterwards):")
    say(f"  nightpress --studio {studio} log")
    say("A studio of your own:")
    say("  nightpress init DIR, then in it nightpress run")
