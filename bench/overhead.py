"""Panels through inbox and outbox against a plain client of the same ComfyUI.

Needs a running ComfyUI (COMFYUI_BASE_PATH and COMFYUI_URL). The plain client is in the style of
ComfyUI's own websocket example: POST, wait for `executing: null`, history, view; it checks nothing
and writes nothing down. Blocks of ten in turns; every picture has a seed of its own, for the server
answers what it has drawn before from its cache. The idle time between two pictures is told by the
server's own clock.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

from bench._comfyui import NO_ENGINE, Panel, blocks, by_hand, find_engine
from bench._measure import Figure, Limit, Measured
from bench._studio import running

PANELS, A_BLOCK = 60, 10
LIMIT, GAP_LIMIT_MS = 1.05, 15.0


def measure() -> Measured:
    """Panels of twenty steps, then pictures that need no model."""
    engine = find_engine()
    if engine is None:
        return Measured(skipped=NO_ENGINE)
    with tempfile.TemporaryDirectory() as folder:
        studio = Path(folder) / "studio"
        with running(studio):
            first = Panel(steps=1)
            # The models are loaded now.
            by_hand(engine, [first.graph(first.text(engine, Random()))])
            ours, plain, _, _ = blocks(
                engine, studio, Panel(), panels=PANELS, a_block=A_BLOCK, name="p"
            )
            blank = Panel(steps=1, workflow="blank")
            _, _, idle, bare = blocks(
                engine, studio, blank, panels=PANELS, a_block=A_BLOCK, name="g"
            )
    plain_client = "plain client"
    return Measured(
        figures=(
            Figure(
                "a panel of 20 steps",
                "s",
                ours,
                plain,
                plain_client,
                Limit("ratio", "at most", LIMIT),
            ),
            Figure(
                "idle between two without a model",
                "ms",
                idle,
                limit=Limit("ours", "at most", GAP_LIMIT_MS),
            ),
            Figure("the same, plain client", "ms", bare),
        ),
        facts=(f"ComfyUI on {engine.device}; a panel is 64x64",),
    )
