"""The conversation about one picture, held with a real ComfyUI."""

from __future__ import annotations

import asyncio
import io

import pytest
from PIL import Image

from daemon.adapters.comfyui import ComfyRenderer
from daemon.core.jobs import ControlNetUse, Outcome
from daemon.core.policy import Policy
from daemon.craft.graph import same_graph
from daemon.shell.whereabouts import Drawn, DrawOrder
from tests.conversing import Undrawn, draw
from tests.real.engine import LONG_STEPS, RealEngine, until
from tests.real.pose import pose_png
from tests.real.test_adapter import ended, runs, send, told

pytestmark = pytest.mark.real

QUICK = Policy(history_poll_s=0.2)


class Desk:
    """Who wants one picture: what was recorded of it, and the steps that were heard."""

    def __init__(self, renderer: ComfyRenderer) -> None:
        self._renderer = renderer
        self.steps: list[tuple[int, int]] = []

    def progress(self, step: int, of: int) -> None:
        self.steps.append((step, of))

    async def draw(self, order: DrawOrder) -> Drawn | Undrawn:
        return await draw(
            order,
            renderer=self._renderer,
            progress=self.progress,
            policy=QUICK,
        )

    async def drawn(self, order: DrawOrder) -> Drawn:
        result = await self.draw(order)
        assert isinstance(result, Drawn), result
        return result


def pixels(png: bytes) -> bytes:
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.size == (64, 64)
        return picture.tobytes()


def test_a_sheet_in_one_colour_needs_no_model_and_is_drawn_once(real: RealEngine) -> None:
    """N1.4, N6.2: asked again it is fetched; the server counts one prompt."""

    async def story(renderer: ComfyRenderer) -> None:
        order, before = real.order(), real.posted()
        first = await Desk(renderer).drawn(order)
        again = Desk(renderer)
        assert (await again.drawn(order)).png == first.png
        assert real.posted() == before + 2  # ours and the one by which it was counted
        colour = (real.seed % 2**24).to_bytes(3, "big")
        assert pixels(first.png) == colour * 64 * 64

    told(real, story)


def test_a_panel_with_a_lora_is_drawn_step_by_step(real: RealEngine) -> None:
    """N1.1, S3.3: and the LoRA is really in it."""

    async def story(renderer: ComfyRenderer) -> None:
        order, desk = real.order(real.with_lora(1.0)), Desk(renderer)
        result = await desk.drawn(order)
        assert same_graph(order.graph, result.graph)
        assert desk.steps[-1] == (3, 3)
        assert desk.steps == sorted(desk.steps)
        plain = await Desk(renderer).drawn(real.order(real.panel()))
        assert pixels(plain.png) != pixels(result.png)

    told(real, story)


def test_a_panel_follows_the_hint_that_was_uploaded_for_it(real: RealEngine) -> None:
    """C3.1, S3.3: what the hint shows changes the picture."""
    control = ControlNetUse(real.controlnet, "poses/pose.png", 1.0, 0.0, 1.0)
    name = f"nightpress-test-{real.token}.png"

    async def story(renderer: ComfyRenderer) -> None:
        hint = await renderer.upload(name=name, data=pose_png())
        order = real.order(real.panel(controlnet=control), hint=hint)
        result = await Desk(renderer).drawn(order)
        assert same_graph(order.graph, result.graph)
        loads = [node for node in result.graph.values() if "LoadImage" in str(node)]
        assert [name in str(node) for node in loads] == [True]
        plain = await Desk(renderer).drawn(real.order(real.panel()))
        assert pixels(plain.png) != pixels(result.png)

    try:
        told(real, story)
    finally:
        (real.base / "input" / name).unlink(missing_ok=True)


def test_a_prompt_that_was_sent_already_is_rejoined_while_it_runs(real: RealEngine) -> None:
    """N6.2: a daemon that has died sent it; nothing is recorded or sent again."""

    async def story(renderer: ComfyRenderer) -> None:
        order = real.order(real.panel(steps=60))
        await send(renderer, order)
        await until(lambda: runs(renderer, order))
        before = real.posted()
        await Desk(renderer).drawn(order)
        assert real.posted() == before + 1

    told(real, story)


def test_who_stops_waiting_leaves_the_prompt_there_for_the_next(real: RealEngine) -> None:
    """N6.2"""

    async def story(renderer: ComfyRenderer) -> None:
        order, before = real.order(real.panel(steps=60)), real.posted()
        waiting = asyncio.ensure_future(Desk(renderer).draw(order))
        await until(lambda: runs(renderer, order))
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await Desk(renderer).drawn(order)
        assert real.posted() == before + 2

    told(real, story)


def test_a_refusal_becomes_a_sentence_that_names_the_value(real: RealEngine) -> None:
    """N3.2"""

    async def story(renderer: ComfyRenderer) -> None:
        result = await Desk(renderer).draw(real.order(real.panel(vae="no-such.safetensors")))
        assert isinstance(result, Undrawn), result
        assert (result.outcome, result.code) == (Outcome.FAILED, "VALIDATION")
        assert "vae_name = 'no-such.safetensors'" in result.text
        assert result.text.endswith(".")

    told(real, story)


def test_another_graph_under_our_id_is_a_stranger_s_and_is_left_alone(real: RealEngine) -> None:
    """N6.2"""

    async def story(renderer: ComfyRenderer) -> None:
        theirs, ours = real.order(), real.order(real.panel())
        stolen = DrawOrder(
            prompt_id=ours.prompt_id,
            graph=theirs.graph,
            save_node=theirs.save_node,
            draw_s=120.0,
            note={},
        )
        await send(renderer, stolen)
        await ended(renderer, stolen)
        result = await Desk(renderer).draw(ours)
        assert isinstance(result, Undrawn), result
        assert (result.outcome, result.code) == (Outcome.FAILED, "STRANGER")

    told(real, story)


def test_an_interrupt_from_elsewhere_loses_the_prompt_but_not_the_job(real: RealEngine) -> None:
    """N1.5: somebody pressed Cancel in the browser."""

    async def story(renderer: ComfyRenderer) -> None:
        order = real.order(real.panel(steps=LONG_STEPS))
        waiting = asyncio.ensure_future(Desk(renderer).draw(order))
        await until(lambda: runs(renderer, order))
        await renderer.interrupt(order.prompt_id)
        result = await waiting
        assert isinstance(result, Undrawn), result
        assert (result.outcome, result.code) == (Outcome.LOST, "INTERRUPTED")

    told(real, story)
