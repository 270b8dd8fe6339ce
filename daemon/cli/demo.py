"""The face: `demo`, the whole way from a job file to pictures, in a studio to be thrown away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic, sleep

from daemon.bootstrap import make_studio
from daemon.cli import place
from daemon.cli.arguments import Arguments, parse
from daemon.cli.drop import drop
from daemon.cli.follow import Follower, follow_to_the_end, status_document
from daemon.cli.lines import Tail
from daemon.cli.say import complain, paint, say
from daemon.cli.tables import inner
from daemon.cli.verify import verify

_START_S = 30.0
_STOP_S = 10.0

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


def demo(_: Arguments) -> int:
    """Make a studio, print a panel in it, show what came of it."""
    began_s = monotonic()
    studio = Path(mkdtemp(prefix="nightpress-demo-")).resolve()
    make_studio(studio, os.environ)
    (studio / "nightpress.toml").write_text(_SETTINGS, encoding="utf-8")
    say(paint("nightpress demo", "bold"))
    say(f"A studio of its own: {studio}")
    say("Its engine is the rehearsal: storyboards, drawn without a model and without a GPU.")
    with _running(studio):
        fine = _print_panel(studio)
        _show_refusal(studio)
    _command("nightpress verify")
    fine = verify(parse(["--studio", str(studio), "verify"])) == 0 and fine
    _where(studio, took_s=monotonic() - began_s)
    return 0 if fine else 1


def _print_panel(studio: Path) -> bool:
    _command("nightpress submit ch01_p003.toml --wait")
    for line in _PANEL.splitlines():
        say(paint(f"  {line}", "dim"))
    follower = _submitted(studio, "ch01_p003.toml", _PANEL)
    return follow_to_the_end(follower, studio) and follower.fine


def _show_refusal(studio: Path) -> None:
    _command("nightpress submit ch01_p004.toml        (it asks for 1024 x 768, and has a typo)")
    follower = _submitted(studio, "ch01_p004.toml", _TOO_LARGE)
    follower.wait(lambda: not follower.unanswered, timeout_s=_STOP_S)


def _submitted(studio: Path, name: str, text: str) -> Follower:
    tail = Tail(studio)
    tail.skip()
    return Follower(studio, tail, [drop(studio, name, text.encode())], say)


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
        _command(f"nightpress run &                        (pid {child.pid})")
        _await_engine(studio, child, output)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGTERM)
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            complain("The daemon did not stop when it was asked to, and was killed.")


def _await_engine(studio: Path, child: subprocess.Popen[bytes], output: Path) -> None:
    deadline_s = monotonic() + _START_S
    while monotonic() < deadline_s:
        ready = inner(status_document(studio), "engine").get("ready") is True
        if ready and place.is_alive(studio):
            return
        if child.poll() is not None:
            break
        sleep(0.05)
    said = output.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise place.Bad(f"The demo's daemon did not start. It said:\n{said}")


def _command(line: str) -> None:
    say()
    say(paint(f"$ {line}", "cyan"))


def _where(studio: Path, *, took_s: float) -> None:
    outbox = studio / "outbox"
    say()
    say(f"Done in {took_s:.1f} s. The outbox is")
    say()
    say(f"  {paint(str(outbox), 'bold')}")
    say()
    say("Look there at")
    for name, about in (
        ("ch01_p003_r1/ch01_p003_r1-01.png", "the picture of the first seed (-02: the second)"),
        ("ch01_p003_r1/ch01_p003_r1-01.lock.toml", "all that it takes to make it again"),
        ("ch01_p003_r1/ch01_p003_r1-01.workflow.json", "the graph; ComfyUI opens it"),
        ("rejected/", "the answer to the file that was refused"),
        ("status.json", "where everything stands, for programs"),
    ):
        say(f"  {name:<44} {about}")
    say()
    say("What happened, event by event (the folder can be deleted afterwards):")
    say(f"  nightpress --studio {studio} log")
    say("A studio of your own:")
    say("  nightpress init DIR, then in it nightpress run")
