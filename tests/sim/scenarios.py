"""Short stories in which everything that the daemon does to the world happens once, so that each
step of each can be cut.

A scenario is what makers save, and what goes wrong besides; ``ends`` are the phases in which its
jobs may end, whatever is cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tests.sim.engine import EngineFault
from tests.sim.trainer import TrainerFault

EPOCH_MS = 1_795_000_000_000
DECEMBER_MS = 1_796_083_200_000

PANEL = b"""kind = "panel"
prompt = "spyke_plasma_v1, white cloak, leaping, rain"
width = 64
height = 64
seed = 421
vae = "vae-ft-mse-840000-ema-pruned.safetensors"
checkpoint = "anything-v5.safetensors"
ref = "run-7/ch01/3"
end = true
"""
TRAIN = b"""kind = "train"
lora = "spyke"
trigger = "spyke_plasma_v1"
dataset = "datasets/spyke"
vae = "vae-ft-mse-840000-ema-pruned.safetensors"
checkpoint = "anything-v5.safetensors"
steps = 20
save_every = 10
network_dim = 1
force = true
when = "now"
waive_trigger_probe = true
grid = { prompts = [] }
end = true
"""
DATASET = {
    f"datasets/spyke/{n:02}{end}": b"%d%a" % (n, end) for n in range(2) for end in (".png", ".txt")
}


@dataclass(frozen=True)
class Drop:
    """A file saved in the inbox when the ledger has ``after`` in it; or at the start, before the
    daemon's.
    """

    name: str
    data: bytes
    after: bytes = b""


@dataclass(frozen=True)
class Scenario:
    """``began_ms``: when, since 1970. ``stop_after``: when the ledger has this in it, the daemon is
    stopped and started; ``revert_after``: git puts the ledger's first line in the place of all.
    ``step_s``: what a sampler's step takes. The disk is full in ``full_s`` (virtual seconds from,
    till); the sync number ``bad_sync`` of the ledger fails.
    """

    drops: tuple[Drop, ...]
    ends: frozenset[str] = frozenset({"published"})
    began_ms: int = EPOCH_MS
    stop_after: bytes = b""
    revert_after: bytes = b""
    engine: EngineFault = ""
    step_s: float = 0.1
    trainer: TrainerFault = ""
    full_s: tuple[float, float] = (0.0, 0.0)
    bad_sync: int = 0


def _control(kind: str, job: str = "", **more: int | str) -> bytes:
    said = {"kind": f'"{kind}"', **({"job": f'"{job}"'} if job else {}), **more, "end": "true"}
    return "".join(f"{key} = {value}\n" for key, value in said.items()).encode()


_PANEL = Drop("p.toml", PANEL)
_OTHER = Drop("q.toml", PANEL.replace(b"leaping", b"sitting"))
_TRAIN = Drop("spyke.toml", TRAIN)
_EPOCH = Drop("spyke.toml", TRAIN.replace(b"steps = 20", b"steps = 10"))
_PAUSE = Drop("hush.toml", _control("pause"))
_LOCK = '"outbox/p_v1/p_v1.lock.toml"'
_FAILED, _CANCELLED = frozenset({"failed"}), frozenset({"published", "cancelled"})
_LOST_TWICE = frozenset({"published", "quarantined"})

ACCEPT = Scenario((_PAUSE, _PANEL), ends=frozenset())
PANEL_OK = Scenario((_PANEL,))
TRAIN_OK = Scenario((_TRAIN,))

SCENARIOS: Mapping[str, Scenario] = {
    "accept": ACCEPT,
    "reject": Scenario((Drop("p.toml", PANEL.replace(b"width = 64", b"width = 4096")),)),
    "duplicate": replace(ACCEPT, drops=(_PAUSE, _PANEL, Drop("again.toml", PANEL))),
    "panel ok": PANEL_OK,
    "panels in turn": Scenario((_PANEL, _OTHER)),
    "panels retried": Scenario((_PANEL, _OTHER), engine="restart"),
    "panel error": Scenario((_PANEL,), engine="error", ends=_FAILED),
    "panel retried": Scenario((_PANEL,), engine="restart"),
    "train ok": TRAIN_OK,
    "train failed": Scenario((_EPOCH,), trainer="fails", ends=_FAILED),
    "trainer killed": Scenario((_EPOCH,), trainer="trainer killed", ends=_LOST_TWICE),
    "shim killed": Scenario((_EPOCH,), trainer="shim killed", ends=_LOST_TWICE),
    "cancel": Scenario(
        (_PANEL, Drop("stop.toml", _control("cancel", "p_v1"), after=b"prompt.sent")),
        ends=_CANCELLED,
        step_s=1.0,
    ),
    "restart": replace(PANEL_OK, stop_after=b"prompt.sent"),
    "restart train": Scenario((_EPOCH,), stop_after=b"model.recorded"),
    "month change": replace(PANEL_OK, began_ms=DECEMBER_MS - 500),
    "pause and resume": Scenario(
        (_PAUSE, _PANEL, Drop("on.toml", _control("resume"), after=b"job.held"))
    ),
    "disk full": replace(PANEL_OK, full_s=(0.3, 2.3)),
    "sync fails": replace(PANEL_OK, bad_sync=3),
    "git takes it": replace(PANEL_OK, revert_after=b"prompt.sent"),
    "cancel train, retry": Scenario(
        (
            _TRAIN,
            Drop("stop.toml", _control("cancel", "spyke_v1"), after=b"checkpoint.saved"),
            Drop("more.toml", _control("retry", "spyke_v1"), after=b"job.ended"),
        ),
    ),
    "reproduce": Scenario(
        (_PANEL, Drop("same.toml", _control("reproduce", lock=_LOCK), after=b"job.ended"))
    ),
    "overrule": Scenario(
        (
            Drop("p.toml", PANEL.replace(b"seed = 421", b"seeds = [421, 422]")),
            Drop("fine.toml", _control("approve", "p_v1", image=1), after=b"job.ended"),
        ),
        engine="black",
        ends=frozenset({"failed", "published"}),
    ),
    "approve": Scenario(
        (
            _EPOCH,
            Drop("good.toml", _control("approve", "spyke_v1", checkpoint=10), after=b"job.ended"),
        )
    ),
}

_STAGED = TRAIN.replace(b"steps = 20", b"steps = 10").replace(b"waive_trigger_probe = true\n", b"")
_GRID = b"grid = { prompts = [] }"
STAGES: Mapping[str, Scenario] = {
    "drawn before and after": Scenario(
        (
            Drop(
                "spyke.toml",
                _STAGED.replace(_GRID, b'grid = { prompts = ["spyke, running"], seeds = [1] }'),
            ),
        )
    ),
    "regularized and tried": Scenario(
        (
            Drop(
                "spyke.toml",
                TRAIN.replace(b"steps = 20", b"steps = 10")
                .replace(b'when = "now"\n', b"")
                .replace(
                    b"end = true",
                    b'regularization = { count = 10, prompt = "a man", class = "man" }\nend = true',
                ),
            ),
        )
    ),
}
"""Trainings with all that is drawn and tried around them: long, so cut at fewer places."""
TRAIN_APPROVED = Scenario(
    (_TRAIN, Drop("good.toml", _control("approve", "spyke_v1", checkpoint=10), after=b"job.ended"))
)
TWO_SEEDS = PANEL.replace(b"seed = 421", b"seeds = [421, 422]")
DRAWN = Scenario(
    (
        Drop("p.toml", TWO_SEEDS),
        Drop("again.toml", TWO_SEEDS, after=b"prompt.sent"),
        Drop("q.toml", PANEL.replace(b"leaping", b"sitting"), after=b"prompt.sent"),
        Drop("wide.toml", PANEL.replace(b"width = 64", b"width = 4096"), after=b"prompt.sent"),
    )
)
"""Two jobs, two pictures, an answer of each kind."""
MIXED = Scenario((_TRAIN, *DRAWN.drops))
"""For engines and trainers that misbehave."""
