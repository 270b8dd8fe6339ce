"""When the review sheet is written, in a whole press in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from daemon.core.jobs import JobId
from daemon.errors import WorldError
from tests.shell.test_attempt import PANEL, Studio

INDEX, MONTH = "outbox/index.html", "outbox/sheet/2026-11.html"


def text(studio: Studio, name: str) -> str:
    return studio.disk.data(name).decode()


def test_the_sheet_tells_of_a_panel_soon_after_it_has_ended_and_at_the_stop() -> None:
    """By a relative path, so that it opens from the Finder."""
    studio = Studio(sheet=True)

    async def story(studio: Studio) -> None:
        studio.drop("one")
        await studio.until(studio.ended(1))
        await asyncio.sleep(5.0)
        assert 'src="one_v1/one_v1.png"' in text(studio, INDEX)
        assert 'src="../one_v1/one_v1.png"' in text(studio, MONTH)
        studio.drop("two", PANEL.replace("rain", "snow"))
        await studio.until(studio.ended(2))

    studio.live(story)
    assert 'id="two_v1"' in text(studio, INDEX)
    assert text(studio, INDEX).index('id="two_v1"') < text(studio, INDEX).index('id="one_v1"')
    assert "leaping, snow" in text(studio, MONTH)


def test_a_months_page_is_written_again_only_when_a_job_on_it_has_changed() -> None:
    """Nor after a restart, unless something was approved that no page tells of yet."""
    studio = Studio(sheet=True)

    async def first(studio: Studio) -> None:
        studio.drop("one")
        await studio.until(studio.ended(1))

    async def second(studio: Studio) -> None:
        await asyncio.sleep(5.0)
        assert text(studio, MONTH) == "an older page"
        studio.drop("approve", 'kind = "approve"\njob = "one_v1"\nimage = 1\nend = true\n')
        await studio.until(lambda: bool(studio.said("job.approved", "job")))
        await asyncio.sleep(5.0)
        assert "approved</span>" in text(studio, MONTH)

    studio.live(first)
    studio.disk.put(MONTH, b"an older page")
    studio.live(second)


def test_a_form_of_another_release_is_written_anew() -> None:
    studio = Studio(sheet=True)

    async def first(studio: Studio) -> None:
        studio.drop("one")
        await studio.until(studio.ended(1))

    async def second(studio: Studio) -> None:
        await asyncio.sleep(5.0)

    studio.live(first)
    studio.disk.put(MONTH, b"an older page")
    studio.disk.put(".nightpress/sheet", b"0 99\n")
    studio.live(second)
    assert JobId("one_v1") in text(studio, MONTH)


def test_a_full_page_is_followed_by_another_to_which_it_leads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which page a job is on never changes; an outbox that somebody emptied is filled again."""
    monkeypatch.setattr("daemon.shell.sheet._PAGE_JOBS", 2)
    studio = Studio(sheet=True)
    later = "outbox/sheet/2026-11-2.html"

    async def first(studio: Studio) -> None:
        for number, name in enumerate(("one", "two", "three"), start=1):
            studio.drop(name, PANEL.replace("rain", name))
            await studio.until(studio.ended(number))
            await asyncio.sleep(5.0)

    async def second(studio: Studio) -> None:
        await asyncio.sleep(5.0)

    studio.live(first)
    assert text(studio, MONTH).count("<article") == 2
    assert 'href="2026-11-2.html"' in text(studio, MONTH)
    assert 'id="three_v1"' in text(studio, later)
    del studio.disk.nodes[later]
    studio.live(second)
    assert 'id="three_v1"' in text(studio, later)


def test_a_disk_that_cannot_write_a_page_keeps_nobody_from_drawing() -> None:
    """It is written when it can be: what is out of date stays so until then."""
    studio = Studio(sheet=True)
    full = ["outbox/sheet/"]

    def refuse(operation: str, path: str) -> None:
        if operation == "write" and any(map(path.startswith, full)):
            raise WorldError("DISK_FULL", "no space is left")

    async def story(studio: Studio) -> None:
        studio.disk.before = refuse
        studio.drop("one")
        await studio.until(studio.ended(1))
        await asyncio.sleep(5.0)
        assert MONTH not in studio.disk.nodes
        full.clear()

    studio.live(story)
    assert 'id="one_v1"' in text(studio, MONTH)
