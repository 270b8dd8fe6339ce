"""Whatever a ledger, the files of a studio or a job say: no terminal obeys it, in any verb."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from daemon.adapters.machine import bind_host, machine_id
from daemon.cli import main
from daemon.core.events import ControlTaken, Event, Incident, JobDuplicate, JobHeld
from daemon.core.jobs import JobId
from tests.cli.studio import StudioFiles, failed, printed, refusal, started, taken, trained
from tests.core.asking import ENGINE, VAE
from tests.examples import FILE
from tests.shell.hostile_files import EVIL, OBEYED
from tests.wire.bad_job_files import PANEL

Captured = pytest.CaptureFixture[str]

POISON = "".join(evil for evil in EVIL if len(evil) < 40 and evil not in "\ud800\r") + "\ud800\rx"
HOST = "evil\x1b]0;x\x07\u202e"
KEPT = frozenset(
    {"job", "of", "sha256", "kind", "outcome", "phase", "at", "prompt_id", "request", "measures"}
    | {"lock_sha256", "template_sha256", "workflow_sha256", "map_sha256", "perceptual_hash"}
)
"""What the program makes itself, or what it reads as more than words."""


def poisoned(value: Any) -> Any:
    """The value with the poison in every text in it that is not kept."""
    if isinstance(value, str) and not isinstance(value, Enum):
        return f"{value}{POISON}"
    if isinstance(value, tuple):
        return tuple(map(poisoned, value))
    if isinstance(value, Mapping):
        return {poisoned(key): poisoned(each) for key, each in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        named = {f.name: getattr(value, f.name) for f in fields(value) if f.name not in KEPT}
        return replace(value, **{name: poisoned(each) for name, each in named.items()})
    return value


class Poisoned(StudioFiles):
    """A ledger in which every text is poisoned."""

    def write(self, *events: Event) -> None:
        super().write(*map(poisoned, events))


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Poisoned:
    root = tmp_path / "studio"
    (root / "ledger").mkdir(parents=True)
    monkeypatch.setenv("NIGHTPRESS_STUDIO", str(root))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    bind_host(root / "ledger", name="mac", machine=machine_id(tmp_path / "home/.config/nightpress"))
    studio = Poisoned(root)
    studio.write(started(), *trained(), *refusal(FILE), JobDuplicate(JobId("spyke_v1"), FILE))
    printed(studio, "ch01", sha256="c" * 64, engine=ENGINE, models=[VAE])
    studio.write(*taken("ch02"), *failed("ch02"), *taken("ch03"))
    studio.write(JobHeld(JobId("ch03_v1"), "MODEL_MISSING", "gone", 0), Incident("NOTE", "look"))
    studio.write(ControlTaken("ch01_v1", "cancel", "It has ended.", FILE))
    StudioFiles(root, host=HOST).write(Incident("NOTE", "from elsewhere"))
    return studio


def tell(capsys: Captured, *arguments: str) -> str:
    """What a command prints, of which a terminal obeys nothing."""
    main(arguments)
    said = "".join(capsys.readouterr())
    assert not (found := OBEYED.search(said)), (arguments, said[max(0, found.start() - 200) :])
    assert said.strip(), arguments
    return said


READING = (
    *("status", "why ch03", "show spyke", "show ch01", "log", "log ch01", "log --since 1"),
    *("log --since 2020-01-01", "log --code NOTE", "verify", "models", "seeds", "rebuild --all"),
    *("log --json", "status --json", "show ch01 --json", "why ch03 --json", "verify --json"),
)


def test_no_verb_that_reads_shows_a_character_that_a_terminal_obeys(
    studio: Poisoned, capsys: Captured
) -> None:
    """Prompts, names, hosts, reasons, what engines and trainers said: in every field that has a
    text.
    """
    for command in READING:
        tell(capsys, *command.split())
    assert "\\x1b" in tell(capsys, "log")
    assert "\\u202e" in tell(capsys, "show", "ch02")


def test_what_is_written_for_people_can_be_shown_too(studio: Poisoned, capsys: Captured) -> None:
    """status.toml, status.json and the seeds; a request and a picture stay as they came."""
    tell(capsys, "rebuild", "--all")
    tell(capsys, "seeds")
    written = {
        path.name: path.read_text(encoding="utf-8")
        for path in sorted((studio.root / "outbox").rglob("*"))
        if path.is_file() and path.name != "job.toml" and path.suffix != ".png"
    }
    assert {"status.json", "status.toml"} <= written.keys()
    assert {name for name, text in written.items() if OBEYED.search(text)} == set()


class Tags(HTMLParser):
    """A page's elements and attributes, as a browser sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, {key: value or "" for key, value in attrs}))


def test_the_review_sheet_says_it_all_and_obeys_nothing(studio: Poisoned, capsys: Captured) -> None:
    """Every text of the ledger on the index and on a month's page: no element, no attribute and no
    address but the sheet's own.
    """
    tell(capsys, "rebuild", "--all")
    pages = [path.read_text(encoding="utf-8") for path in studio.root.glob("outbox/**/*.html")]
    assert len(pages) == 2
    for page in pages:
        assert not OBEYED.search(page)
        assert "&lt;script&gt;alert(1)" in page
        tags = Tags()
        tags.feed(page)
        assert not {"script", "iframe", "object", "embed", "form", "base"} & {
            t for t, _ in tags.seen
        }
        for tag, attributes in tags.seen:
            assert not [key for key in attributes if key.startswith("on")], (tag, attributes)
            for key in attributes.keys() & {"src", "href"}:
                assert attributes[key].startswith(
                    ("#", "../", "sheet/", "ch0", "spyke", "index")
                ), tag


def test_a_living_daemons_status_is_not_believed_either(studio: Poisoned, capsys: Captured) -> None:
    tell(capsys, "rebuild", "--all")
    file = studio.root / "outbox" / "status.json"
    file.write_text(json.dumps(_spread(json.loads(file.read_text()))))
    with studio.guarded():
        for command in ("status", "why ch03", "models"):
            tell(capsys, *command.split())


def _spread(value: object) -> object:
    """The document with the poison in its texts but those by which it is read."""
    match value:
        case dict():
            spoilt = {key: _spread(each) for key, each in value.items()}
            return {**spoilt, **{key: value[key] for key in ("job", "at") if key in value}}
        case list():
            return [_spread(each) for each in value]
        case str():
            return f"{value}{POISON}"
        case _:
            return value


def test_a_damaged_ledger_of_a_host_with_an_evil_name(studio: Poisoned, capsys: Captured) -> None:
    segment = StudioFiles(studio.root, host=HOST).segment
    for damage in (b"\x1b[2J\xe2\x80\xae\n", b'{"seq":1,"type":"\\u001b[2J"}\n'):
        segment.write_bytes(segment.read_bytes() + damage)
        for command in ("verify", "log", "status", "show ch01"):
            tell(capsys, *command.split())
    studio.segment.write_bytes(studio.segment.read_bytes().replace(b"NOTE", b"N\x1b[2J"))
    for command in ("verify", "log", "status", "show ch01"):
        tell(capsys, *command.split())


def test_files_that_are_named(studio: Poisoned, capsys: Captured, tmp_path: Path) -> None:
    """`check`, `submit`, `explain`, `dataset lint` and `again` name files, keys and values."""
    bad = "".join(EVIL).replace("\ud800", "").replace("\x00", "").replace("/", "")[:120]
    texts = (
        PANEL + f"'{bad}' = 1\n",
        PANEL.replace("panel", bad),
        PANEL + 'negative = "\\u001b[2J"\nsteps = "\\u202e"\n"\\u009b" = 3\n',
        PANEL.replace("anything", "\\u202e\\u001b"),
        PANEL.replace("rain", "\u202erain"),
        f'kind = "cancel"\njob = "{bad}"\n',
    )
    for number, text in enumerate(texts):
        file = tmp_path / f"{number}\x1b[2J\u202e\n.toml"
        file.write_text(text, encoding="utf-8", newline="")
        for verb in ("check", "submit", "explain", "reproduce"):
            tell(capsys, verb, str(file))
    folder = tmp_path / "data\x1b[2J\u202e"
    folder.mkdir()
    (folder / "a\x1b[2J.png").write_bytes(b"no picture")
    (folder / "a\x1b[2J.txt").write_text(bad, encoding="utf-8")
    tell(capsys, "dataset", "lint", str(folder))
    tell(capsys, "dataset", "lint", str(folder / "none"))
    tell(capsys, "init", str(tmp_path / "new\x1b[2J\u202e"))
    for job in ("\x1b[2J", "ch01\u202e", "*\x1b[2J*"):
        for verb in ("why", "show", "log", "again", "cancel", "retry"):
            tell(capsys, verb, job)


def test_the_poison_would_be_found() -> None:
    assert all(OBEYED.search(evil) for evil in EVIL[:6])
    assert not OBEYED.search("plain\ttext, 漫画\n")
