"""What Finder, editors, browsers and other programs do in a folder, and what becomes of it.

Each sequence is told in seconds of virtual time; what is taken is taken once, and whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from daemon.core.commands import Command, Reject, ReportIncident, TakeControl
from daemon.core.jobs import Control, FileFacts
from daemon.core.policy import Policy
from daemon.shell.intake import stem_of
from daemon.wire.job_file import Refused, read_job_file
from tests.fakes import MemoryDisk, Node
from tests.shell.test_inbox import Desk
from tests.virtual_time import run

POLICY = Policy()
GOOD = b"""\
kind = "panel"
panel = "ch01_p003"
prompt = "white cloak, rain"
seed = 421
checkpoint = "a.safetensors"
vae = "v.safetensors"
"""
ALIAS = b"book\x00\x00\x00\x00mark\x00\x00\x00\x00" + b"\x00" * 80
RTF = b"{\\rtf1\\ansi kind = \\'93panel\\'94}\n"
Deed = Callable[[MemoryDisk], object]
PATH = "inbox/ch01.toml"


@dataclass
class Reader(Desk):
    """An inbox whose files are read as jobs; ``taken`` are the bytes of those that are one."""

    taken: list[bytes] = field(default_factory=list)

    async def examine(self, file: FileFacts, data: bytes | None) -> Command:
        self.meanwhile()
        answer = read_job_file(data or b"", stem=stem_of(file.name), policy=POLICY)
        if isinstance(answer, Refused):
            return Reject(file, data, "", answer.errors)
        self.taken.append(data or b"")
        return TakeControl(file, Control("pause"))

    @property
    def sentences(self) -> list[str]:
        """What is answered to a person: refusals, and what cannot be read."""
        found = []
        for command in self.asked:
            if isinstance(command, Reject):
                found += [error.text for error in command.errors]
            elif isinstance(command, ReportIncident):
                found.append(command.text)
        return found


def put(name: str = "ch01.toml", data: bytes = GOOD, *, busy: bool = False) -> Deed:
    def deed(disk: MemoryDisk) -> None:
        disk.put(f"inbox/{name}", data).busy = busy

    return deed


def put_as(kind: str, name: str) -> Deed:
    def deed(disk: MemoryDisk) -> None:
        disk.put(f"inbox/{name}", b"").kind = kind  # type: ignore[assignment]

    return deed


def folder(name: str) -> Deed:
    return lambda disk: disk.put(f"inbox/{name}/inside.toml", GOOD)


def rename(old: str, new: str = "ch01.toml") -> Deed:
    def deed(disk: MemoryDisk) -> None:
        node: Node = disk.nodes.pop(f"inbox/{old}")
        disk.nodes[f"inbox/{new}"] = node

    return deed


def remove(name: str = "ch01.toml") -> Deed:
    return lambda disk: disk.nodes.pop(f"inbox/{name}")


def strange(**facts: object) -> Deed:
    def deed(disk: MemoryDisk) -> None:
        node = disk.put(PATH, GOOD)
        for name, value in facts.items():
            setattr(node, name, value)

    return deed


@dataclass(frozen=True)
class Animal:
    """A sequence of deeds by second. ``taken``: how many whole jobs; ``says``: a part of a sentence
    that is answered, '' = none; ``left``: what lies there at the end.
    """

    name: str
    deeds: Sequence[tuple[float, Deed]]
    taken: int = 0
    says: str = ""
    left: Sequence[str] = ()


ZOO = (
    Animal(
        "Finder copies from a stick: busy while it grows",
        [(0, put(data=GOOD[:9], busy=True)), (3, put(data=GOOD[:60], busy=True)), (9, put())],
        taken=1,
    ),
    Animal("Finder copies on the same volume: a clone, whole at once", [(0, put())], taken=1),
    Animal(
        "Finder moves a file in",
        [(0, put("../drafts/ch01.toml")), (1, rename("../drafts/ch01.toml"))],
        taken=1,
    ),
    Animal(
        "Finder replaces a file before it was taken",
        [(0, put(data=GOOD[:40])), (1, remove()), (1, put())],
        taken=1,
    ),
    Animal("Finder duplicates a file", [(0, put()), (0, put("ch01 copy.toml"))], taken=2),
    Animal("Finder undoes a drop", [(0, put()), (1, remove())]),
    Animal("Finder leaves .DS_Store", [(0, put(".DS_Store", b"\0\0\0\1Bud1"))], left=[".DS_Store"]),
    Animal(
        "AppleDouble beside a job on a stick",
        [(0, put("._ch01.toml", b"\0\5\x16\7")), (0, put())],
        taken=1,
        left=["._ch01.toml"],
    ),
    Animal("a folder's own icon", [(0, put("Icon\r", b""))], left=["Icon\r"]),
    Animal(".localized", [(0, put(".localized", b""))], left=[".localized"]),
    Animal(
        "a text clipping",
        [(0, put("white cloak.textClipping", b"bplist00"))],
        left=["white cloak.textClipping"],
    ),
    Animal("an alias of a job", [(0, put(data=ALIAS))], says="alias"),
    Animal("a package of TextEdit", [(0, folder("ch01.rtfd"))], left=["ch01.rtfd"]),
    Animal("a folder that is called like a job", [(0, folder("ch01.toml"))], left=["ch01.toml"]),
    Animal(
        "TextEdit saves RTF under a job's name", [(0, put(data=RTF))], says="rich-text file (RTF)"
    ),
    Animal("TextEdit adds .rtf", [(0, put("ch01.toml.rtf", RTF))], says="rich-text file (RTF)"),
    Animal("TextEdit adds .txt", [(0, put("ch01.toml.txt"))], taken=1),
    Animal(
        "TextEdit types curly quotes", [(0, put(data="kind = “panel”\n".encode()))], says="is curly"
    ),
    Animal(
        "an editor of Windows: a byte order mark",
        [(0, put(data=b"\xef\xbb\xbf" + GOOD))],
        says="byte order mark",
    ),
    Animal("an editor of Windows: CRLF", [(0, put(data=GOOD.replace(b"\n", b"\r\n")))], taken=1),
    Animal(
        "an editor of Windows: UTF-16",
        [(0, put(data=GOOD.decode().encode("utf-16")))],
        says="UTF-16",
    ),
    Animal(
        "an old Mac's line ends",
        [(0, put(data=GOOD.replace(b"\n", b"\r")))],
        says="CR alone",
    ),
    Animal("iCloud has not brought it yet", [(0, put(busy=True))], left=["ch01.toml"]),
    Animal("iCloud brings it after a while", [(0, put(busy=True)), (20, put())], taken=1),
    Animal("a name in decomposed letters", [(0, put("e\u0301toile.toml"))], taken=1),
    Animal(
        "capitals in a name that nothing else names",
        [(0, put("CH01.toml", GOOD.replace(b'panel = "ch01_p003"\n', b"")))],
        says='panel = "ch01"',
    ),
    Animal(
        "vim: probe, swap file, backup, rename",
        [
            (0, put("4913", b"")),
            (0, remove("4913")),
            (0, put(".ch01.toml.swp", b"b0VIM")),
            (1, put("ch01.toml~", b"kind")),
            (1, put()),
            (2, remove("ch01.toml~")),
            (2, remove(".ch01.toml.swp")),
        ],
        taken=1,
    ),
    Animal(
        "vim is open all day",
        [(0, put(".ch01.toml.swp", b"b0VIM")), (0, put())],
        taken=1,
        left=[".ch01.toml.swp"],
    ),
    Animal(
        "Cocoa saves safely",
        [
            (0, put("ch01.toml.sb-1a2b3c4d-XyZ123", GOOD[:30])),
            (1, put("ch01.toml.sb-1a2b3c4d-XyZ123")),
            (1, rename("ch01.toml.sb-1a2b3c4d-XyZ123")),
        ],
        taken=1,
    ),
    Animal(
        "Cocoa saves in a folder",
        [(0, folder("(A Document Being Saved By TextEdit)"))],
        left=["(A Document Being Saved By TextEdit)"],
    ),
    Animal("VS Code truncates in place", [(0, put(data=b"")), (1.5, put())], taken=1),
    Animal(
        "Sublime is slow on a share",
        [(0, put(data=b"")), (1.5, put(data=GOOD[:50])), (3, put(data=GOOD[:90])), (4.5, put())],
        taken=1,
    ),
    Animal(
        "Chrome downloads",
        [
            (0, put("ch01.toml.crdownload", GOOD[:20])),
            (6, put("ch01.toml.crdownload")),
            (7, rename("ch01.toml.crdownload")),
        ],
        taken=1,
    ),
    Animal(
        "Firefox downloads, with an empty file in the place of the job",
        [
            (0, put(data=b"")),
            (0, put("ch01.toml.part", GOOD[:20])),
            (30, put("ch01.toml.part")),
            (30, rename("ch01.toml.part")),
        ],
        taken=1,
    ),
    Animal(
        "Safari downloads into a folder",
        [(0, folder("ch01.toml.download"))],
        left=["ch01.toml.download"],
    ),
    Animal(
        "rsync",
        [(0, put(".ch01.toml.Ab12Cd", GOOD[:50])), (2, rename(".ch01.toml.Ab12Cd")), (2, put())],
        taken=1,
    ),
    Animal(
        "Syncthing",
        [
            (0, put(".syncthing.ch01.toml.tmp", GOOD[:50])),
            (3, put(".syncthing.ch01.toml.tmp")),
            (3, rename(".syncthing.ch01.toml.tmp")),
        ],
        taken=1,
    ),
    Animal(
        "write-file-atomic",
        [(0, put("ch01.toml.2718281828", GOOD)), (1, rename("ch01.toml.2718281828"))],
        taken=1,
    ),
    Animal(
        "by the protocol: a dot-name, renamed",
        [(0, put(".ch01.tmp")), (1, rename(".ch01.tmp"))],
        taken=1,
    ),
    Animal("fs.writeFile in two pieces", [(0, put(data=GOOD[:70])), (0.5, put())], taken=1),
    Animal("without a final newline", [(0, put(data=GOOD.rstrip()))], taken=1),
    Animal(
        "a zip's leavings",
        [(0, folder("__MACOSX")), (0, put("Thumbs.db", b""))],
        left=["Thumbs.db", "__MACOSX"],
    ),
    Animal(
        "a conflicted copy", [(0, put("ch01 (Mai's conflicted copy 2026-11-20).toml"))], taken=1
    ),
    Animal("a hard link", [(0, strange(links=2))], says="not ours alone", left=["ch01.toml"]),
    Animal(
        "somebody else's file",
        [(0, strange(owned=False))],
        says="not ours alone",
        left=["ch01.toml"],
    ),
    Animal(
        "a symbolic link", [(0, lambda disk: disk.symlink(PATH, "/etc/passwd"))], left=["ch01.toml"]
    ),
    Animal("a FIFO", [(0, put_as("other", "ch01.toml"))], left=["ch01.toml"]),
    Animal(
        "a file that the disk cannot read",
        [(0, lambda disk: disk.unreadable.add(PATH)), (0, put())],
        says="input/output error",
        left=["ch01.toml"],
    ),
    Animal("an empty file that stays empty", [(0, put(data=b""))], says="The file is empty"),
)


async def lived(
    desk: Reader, deeds: Sequence[tuple[float, Deed]], *, until_s: float, look_s: float
) -> None:
    inbox, clock, todo = desk.inbox(), asyncio.get_running_loop(), list(deeds)
    began = clock.time()
    while clock.time() - began < until_s:
        while todo and todo[0][0] <= clock.time() - began:
            todo.pop(0)[1](desk.disk)
        await inbox.scan()
        await asyncio.sleep(look_s)


@pytest.mark.parametrize("animal", ZOO, ids=lambda animal: animal.name)
def test_an_animal_of_the_zoo(animal: Animal) -> None:
    desk = Reader()
    desk.disk.put("inbox/README.md", b"# inbox/\n")
    run(lived(desk, animal.deeds, until_s=60.0, look_s=0.25))
    assert len(desk.taken) == animal.taken
    assert {data.replace(b"\r\n", b"\n").rstrip() for data in desk.taken} <= {GOOD.rstrip()}
    if animal.says:
        assert animal.says in " ".join(desk.sentences)
        assert len(set(desk.sentences)) == len(desk.sentences), "it is said once"
    else:
        assert desk.sentences == []
    there = {path.split("/")[1] for path in desk.disk.nodes if path.startswith("inbox/")}
    assert there - {"README.md", ".."} == set(animal.left)


SAMPLES = (
    GOOD,
    GOOD.replace(b"seed = 421", b"seeds = [421, 422]") + b'[[lora]]\nname = "spyke_v1"\n',
    b'kind = "cancel"\njob = "ch01_p003_v1"\n',
    b'kind = "approve"\njob = "spyke_v1"\ncheckpoint = 792\n',
    (
        b'kind = "train"\nlora = "spyke"\ntrigger = "spyke_plasma_v1"\ndataset = "datasets/s"\n'
        b'checkpoint = "a.safetensors"\nvae = "v.safetensors"\nsteps = 1000\n'
    ),
)


@pytest.mark.parametrize("job", SAMPLES, ids=range(len(SAMPLES)))
def test_a_writer_that_pauses_at_any_byte_for_less_than_it_takes_to_settle_is_waited_for(
    job: bytes,
) -> None:
    """B4: a fifth of all prefixes parse, and some have silently other values."""

    async def story() -> None:
        for cut in range(len(job)):
            desk = Reader()
            deeds = [(0.0, put(data=job[:cut])), (1.9, put(data=job))]
            await lived(desk, deeds, until_s=8.0, look_s=0.95)
            assert desk.taken == [job], f"cut at byte {cut}"
            assert desk.sentences == []

    run(story())


@pytest.mark.parametrize("job", SAMPLES, ids=range(len(SAMPLES)))
def test_of_a_longer_pause_only_what_parses_and_ends_in_a_newline_is_taken(job: bytes) -> None:
    async def story() -> None:
        for cut in range(len(job)):
            desk = Reader()
            deeds = [(0.0, put(data=job[:cut])), (6.0, put(data=job))]
            await lived(desk, deeds, until_s=6.0, look_s=1.0)
            prefix = job[:cut]
            parses = not isinstance(read_job_file(prefix, stem="ch01", policy=POLICY), Refused)
            assert desk.taken == ([prefix] if parses and prefix.endswith(b"\n") else [])

    run(story())
