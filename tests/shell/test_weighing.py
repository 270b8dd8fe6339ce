"""A whole press on a machine whose memory is set: what does not fit waits, and says so."""

from __future__ import annotations

from dataclasses import replace

from tests.shell.machine_fake import CALM, GIB, FakeProbe
from tests.shell.test_attempt import Studio


def test_a_panel_that_does_not_fit_waits_for_room_and_is_drawn_then() -> None:
    """A2.6, A2.7: held, not failed; and the ledger says what it was predicted to take."""
    probe = FakeProbe(seen=replace(CALM, free_bytes=2 * GIB))
    studio = Studio(probe=probe)

    async def story(studio: Studio) -> None:
        studio.drop("one")
        await studio.until(lambda: bool(studio.said("job.held", "code")))
        probe.seen = CALM
        await studio.until(studio.ended(1))

    studio.live(story)
    assert studio.said("job.held", "code") == ["MEMORY_SHORT"]
    assert studio.said("job.ended", "phase") == ["published"]
    [need] = studio.said("attempt.started", "need_bytes")
    assert 2 * GIB < need < 9 * GIB


def test_a_machine_of_which_nothing_is_known_keeps_nobody_waiting() -> None:
    """A2.6: no job fails for a probe, and status says what is unknown."""
    studio = Studio(probe=FakeProbe(fails="signals hangs"))

    async def story(studio: Studio) -> None:
        studio.drop("one")
        await studio.until(studio.ended(1))

    studio.live(story)
    assert studio.said("job.ended", "phase") == ["published"]
