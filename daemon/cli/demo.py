"""The face: `demo`, the whole way from job files to results in a throw-away studio."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from tempfile import mkdtemp
from time import monotonic, sleep

from daemon.bootstrap import make_studio
from daemon.cli import main, place
from daemon.cli.arguments import Arguments
from daemon.cli.say import aligned, complain, paint, say
from daemon.cli.tables import inner, status_file

_START_S = 30.0
_STOP_S = 10.0

_SETTINGS = """\
# A studio of `nightpress demo`: storyboards only, even where ComfyUI is set up.
[engine]
use = "rehearsal"
[disk]
min_free_gb = 0.1
[notify]
on = []                        # Nobody is called to a throw-away studio.
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
_TRAIN = """\
kind = "train"
lora = "spyke"
trigger = "spyke_plasma_v1"
dataset = "datasets/spyke"
steps = 60
save_every = 20
when = "now"                   # not tonight, which a training would wait for
checkpoint = "anything-v5.safetensors"
vae = "vae-ft-mse-840000-ema-pruned.safetensors"
[grid]
prompts = ["spyke_plasma_v1, upper body, sitting, night"]
seeds = [1]
"""
_SCENES = (
    ("full body", "standing", "street"),
    ("full body", "running", "forest"),
    ("full body", "jumping", "rooftop"),
    ("full body", "sitting", "room"),
    ("full body", "from behind", "beach"),
    ("upper body", "arms crossed", "white background"),
    ("upper body", "pointing", "night"),
    ("upper body", "looking back", "rain"),
    ("face", "looking at viewer", "simple background"),
    ("face", "profile", "sky"),
)
"""How the demo's figure is to be seen, in each of its ten drawings."""
_LOOK_AT = (
    ("index.html", "the review sheet: all of it to look through, in a browser"),
    ("ch01_p003_r1/ch01_p003_r1-01.png", "the picture of the first seed (-02: the second)"),
    ("ch01_p003_r1/ch01_p003_r1-01.lock.toml", "all that it takes to make it again"),
    ("ch01_p003_r1/ch01_p003_r1-01.workflow.json", "the graph; ComfyUI opens it"),
    ("spyke_r1/checkpoints/", "a LoRA after each epoch, each with its lock"),
    ("spyke_r1/grid.png", "every checkpoint by the same prompts and seeds, to choose one by"),
    ("spyke_r1/loss.svg", "the loss, step by step; training.log is what the trainer said"),
    ("rejected/", "the answer to the file that was refused"),
    ("status.json", "where everything stands, for programs"),
)


def demo(_: Arguments) -> int:
    """Make a studio, print a panel and train a LoRA in it, show what came of it."""
    began_s = monotonic()
    studio = Path(mkdtemp(prefix="nightpress-demo-")).resolve()
    make_studio(studio, os.environ)
    (studio / "nightpress.toml").write_text(_SETTINGS, encoding="utf-8")
    say(paint("nightpress demo", "bold"))
    say(f"A studio of its own: {studio}")
    say("Its engine is the rehearsal: storyboards, drawn without a model and without a GPU.")
    files = {"ch01_p003.toml": _PANEL, "ch01_p004.toml": _TOO_LARGE, "spyke.toml": _TRAIN}
    for name, text in files.items():
        (studio / name).write_text(text, encoding="utf-8")
    _draw_dataset(studio / "datasets" / "spyke")
    with _running(studio):
        say(f"\n{paint(_PANEL, 'dim')}".rstrip())
        fine = _nightpress(studio, "submit", f"{studio}/ch01_p003.toml", "--wait")
        say("\nThe next one asks for 1024 x 768, and has a typo.")
        _nightpress(studio, "submit", f"{studio}/ch01_p004.toml")
        say("\nAnd a training: ten drawings with captions in datasets/spyke/, and this file.")
        say(f"\n{paint(_TRAIN, 'dim')}".rstrip())
        fine = _nightpress(studio, "submit", f"{studio}/spyke.toml", "--wait") and fine
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
    if not which("nightpress"):
        say(f'  export PATH="{Path(sys.executable).parent}:$PATH"')
    say("  nightpress init DIR, then in it nightpress run")


def _draw_dataset(folder: Path) -> None:
    """Drawings of one figure, each in another colour, pose, place and framing, with captions."""
    folder.mkdir(parents=True)
    for number, (framing, pose, around) in enumerate(_SCENES):
        (folder / f"{number:03}.png").write_bytes(_drawing(number, framing))
        caption = f"spyke_plasma_v1, white cloak, {framing}, {pose}, {around}\n"
        (folder / f"{number:03}.txt").write_text(caption, encoding="utf-8")


def _drawing(number: int, framing: str, side: int = 64, times: int = 8) -> bytes:
    """A PNG: a figure on a white ground. (The command line does not load a picture library.)"""
    ink = bytes((230 - 20 * number, 60, 20 * number))
    scale = {"full body": 1, "upper body": 2, "face": 4}[framing]
    left, low = 10 + 5 * (number * 7 % 10), 4 * (number % 3)
    rows = bytearray()
    for line in range(side):
        row, y = bytearray(), (line - low) / scale
        for column in range(side):
            x = (column - left) / scale
            head = x**2 + (y - 14) ** 2 < 80
            cloak = 22 < y < 60 and abs(x) < (y - 14) * (6 + number) / 24
            shadow = (line + column * (number % 4 - 1)) % 37 < 2 + number
            row += (
                ink if head or cloak else b"\xcc\xcc\xcc" if shadow else b"\xff\xff\xff"
            ) * times
        rows += (b"\0" + row) * times
    side *= times
    size = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", size), (b"IDAT", zlib.compress(bytes(rows))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
