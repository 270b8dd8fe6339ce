"""What the review sheet says: everything of what others wrote, and all of it as text."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections import Counter
from hashlib import sha256
from html import unescape

import pytest

from daemon.core.controls import objection
from daemon.core.jobs import Control
from daemon.craft.diagnosis import first_check
from daemon.wire.sheet import INDEX
from daemon.wire.text import visible
from tests.fakes import MemoryDisk
from tests.sheet_month import EVIL, Month, evil, write

MONTH = "outbox/sheet/2026-11.html"
UNTOLD = {"torch: 2.8.0, now 2.9.0", "width", "seed", "run-8", "Google Chrome"}
"""For others to tell: what differs in a picture drawn again, a refused file's keys and ref, and
who else takes memory."""


def pages(month: Month) -> dict[str, str]:
    """The sheet's files."""
    disk = MemoryDisk()
    asyncio.run(write(month, disk))
    return {path: disk.data(path).decode() for path in disk.files("outbox")}


@pytest.fixture(scope="module")
def plain() -> dict[str, str]:
    return pages(Month())


def test_every_word_of_others_is_told_and_is_text() -> None:
    """Whatever it says to a browser, a template, a terminal or the order of the line."""
    words: set[str] = set()

    def spoilt(text: str) -> str:
        words.add(text)
        return evil(text)

    told = pages(Month(spoilt))
    everything = unescape("".join(told.values()))
    untold = {word for word in words if visible(evil(word)) not in everything}
    assert untold == UNTOLD
    for page in told.values():
        assert "<script" not in page
        assert "<img src=x" not in page
        assert not {"\x1b", "\u202e", "\u2028"} & set(page)
    assert EVIL not in everything


def section(page: str, name: str) -> str:
    """The text of a part of the index, spaces joined."""
    found = page.partition(f'id="{name}"')[2].partition("</section>")[0]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", f"<h2{found}")).split())


def card(page: str, job: str) -> str:
    """The text of a job's card, spaces joined."""
    found = page.partition(f'id="{job}"')[2].partition("</article>")[0]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", f"<h3{found}")).split())


def test_nothing_of_a_page_runs_and_nothing_is_fetched_but_pictures_beside_it(
    plain: dict[str, str],
) -> None:
    for page in plain.values():
        [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
        [style] = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
        digest = b64encode(sha256(style.encode()).digest()).decode()
        assert unescape(policy).split("; ") == [
            "default-src 'none'",
            "img-src 'self' file:",
            f"style-src 'sha256-{digest}'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
        assert not re.search(r"(?:src|href)=\"(?:/|[a-z]+:)", page), "every path is relative"


def test_a_panel_names_what_made_it_down_to_the_pictures_its_lora_learnt_from(
    plain: dict[str, str],
) -> None:
    """And the commands by which it is approved and drawn again, ready to copy."""
    told = card(plain[INDEX], "ch03_p058_v1")
    for fact in (
        "seed 928",
        "checkpoint a.safetensors (F16,",
        "drawn by comfyui 0.3.64 on mps, torch 2.8.0",
        "LoRA spyke_v1-000990.safetensors strength 0.7",
        "trained by spyke_v1, step 990",
        "dataset datasets/spyke: 18 pictures (9 drawn, 9 panel)",
        "nightpress approve ch03_p058_v1 --image 1",
        "nightpress reproduce outbox/ch03_p058_v1/ch03_p058_v1.lock.toml",
    ):
        assert fact in told


def test_a_training_shows_its_grid_and_offers_each_checkpoint(plain: dict[str, str]) -> None:
    """On the index, and for good on its month's page."""
    for page, picture in ((INDEX, "spyke_v3/grid.png"), (MONTH, "../spyke_v3/grid.png")):
        assert f'src="{picture}"' in plain[page]
        told = card(plain[page], "spyke_v3")
        assert "198 0.1406 nightpress approve spyke_v3 --checkpoint 198" in told
    assert "990 0.0921 approved" in card(plain[INDEX], "spyke_v2")
    assert "spyke_v3 is trained: look at its grid, and choose." in plain[INDEX]
    assert "spyke_v2 is trained" not in plain[INDEX]


def test_what_waits_has_its_reason_its_earliest_start_and_the_way_out(
    plain: dict[str, str],
) -> None:
    told = section(plain[INDEX], "queue")
    assert "10 open" in told
    assert (
        "ruri_v1 waiting GPU_LEASED spyke_v4 has the GPU. Not before 2026-11-24 00:30."
        " nightpress cancel ruri_v1"
    ) in told


def test_every_failure_and_every_refusal_has_its_first_check(plain: dict[str, str]) -> None:
    """Requirements 3.9: the code, what happened, and what to look at first."""
    told = section(plain[INDEX], "failures")
    for code in ("BLACK_OR_GRAY", "OOM_KILL", "REJECTED"):
        of_it = told.partition(code)[2]
        assert first_check(code) in of_it
    assert "wide0.toml, now in outbox/rejected/wide0-" in told
    assert f"First check: {first_check('ENGINE_TROUBLE')}" in section(plain[INDEX], "ledger")


def test_tonight_is_told_in_words_as_it_is_drawn(plain: dict[str, str]) -> None:
    """What runs goes on until when status says that it will; the next begins after it."""
    told = section(plain[INDEX], "tonight")
    assert "Trainings: open until Tue 07:00." in told
    assert "spyke_v4: Mon 23:30 to about Tue 01:46, 4 of 4 epochs, as measured here" in told
    assert "ruri_v1: Tue 01:46 to about Tue 05:47, 5 of 5 epochs" in told
    assert "until about Tue 01:46." in section(plain[INDEX], "now")


def test_months_lead_to_their_neighbours_and_to_the_index(plain: dict[str, str]) -> None:
    assert [path for path in plain if "/sheet/" in path] == [
        "outbox/sheet/2026-10.html",
        "outbox/sheet/2026-11-2.html",
        "outbox/sheet/2026-11.html",
    ]
    assert re.findall(r'href="(sheet/[^"]*)"', plain[INDEX]) == [
        "sheet/2026-11-2.html",
        "sheet/2026-11.html",
        "sheet/2026-10.html",
    ]
    links = re.findall(r'<a href="([^"]*\.html)">', plain[MONTH])
    assert links == ["../index.html", "2026-11-2.html", "2026-10.html"]
    assert "November 2026, page 2" in plain[INDEX]


def test_no_command_is_offered_that_the_daemon_would_refuse(plain: dict[str, str]) -> None:
    state, kinds = Month().state, Counter[str]()
    offered = re.findall(
        r"<code[^>]*>nightpress (approve|cancel|retry) (\w+)(?: --(\w+) (\d+))?</code>",
        "".join(plain.values()),
    )
    for kind, job, what, number in offered:
        chosen = {each: int(number) if each == what else 0 for each in ("image", "checkpoint")}
        assert not objection(state, Control(kind, job, chosen["image"], chosen["checkpoint"]))
        kinds[f"{kind} {what}".strip()] += 1
    assert kinds.keys() == {"approve image", "approve checkpoint", "cancel", "retry"}
    assert "nightpress approve spyke_v4" not in plain[INDEX], "it is still being trained"
