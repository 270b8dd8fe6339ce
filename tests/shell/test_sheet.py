"""When the review sheet is written, in a whole press in virtual time."""

from __future__ import annotations

import asyncio

from daemon.core.jobs import JobId
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
