"""Rehearsal room: the faults that can be switched on, at start or while the server runs.

A fault reproduces an end state that the real server was seen in. Everything that knows about
faults asks this one object; nothing happens unless a switch was set.
"""

import math
import os
import signal
from collections.abc import Mapping
from typing import Any

SWITCHES: Mapping[str, str] = {
    "drop_socket": "all sockets are cut in the middle of sampling",
    "mute_socket": "nothing is sent on sockets any more; HTTP goes on",
    "black": "the decoded picture is black, reported as success",
    "nan": "the same, with the cast warning that NaN leaves in the log",
    "lora_unmatched": "the LoRA that is loaded fits nothing; only the log tells",
    "cpu_fallback": "the sampler warns of an operator that MPS leaves to the CPU",
    "lose_history": "the prompt runs but never appears in the history",
    "dead_worker": "the worker thread ends at its next prompt; HTTP goes on",
    "node_errors_200": "the prompt is accepted with errors for one more output",
    "post_500_but_queued": "POST /prompt answers 500 although the prompt was queued",
    "truncate_output": "the PNG on disk is cut in half after it was saved",
    "missing_output": "the PNG is deleted after it was saved",
    "oom": "the sampler fails as PyTorch does when MPS memory runs out",
}
NUMBERS: Mapping[str, str] = {
    "slow": "factor on the time of a sampler step",
    "late_history": "seconds between execution_success and the history entry",
    "gc_stall": "seconds during which HTTP and sockets stall after a prompt",
    "refuse_post": "HTTP status that answers every POST /prompt",
}
MOMENTS = ("post", "sampling", "saving", "after_success")


class Faults:
    """What is switched on. A switch counts: ``true`` holds until it is set off, N acts N times.

    ``profile`` is the launch profile of the server. ``only_in`` names those, joined by commas, in
    which the switches act; none: in all. So a black picture can have a cure.
    """

    def __init__(self, profile: str = "default") -> None:
        self._profile = profile
        self._only_in: tuple[str, ...] = ()
        self._switches: dict[str, float] = dict.fromkeys(SWITCHES, 0.0)
        self._numbers: dict[str, float] = dict.fromkeys(NUMBERS, 0.0)
        self._die_at = ""

    def set(self, name: str, value: Any = True) -> None:
        """Switches one fault. ``None`` and ``False`` switch it off.

        Raises ValueError, with the names that exist, for an unknown name or an unusable value.
        """
        if name == "die_at":
            if value not in (*MOMENTS, None, False, ""):
                raise ValueError(f"die_at takes one of {', '.join(MOMENTS)}; it got {value!r}")
            self._die_at = value or ""
        elif name == "only_in":
            self._only_in = tuple(filter(None, str(value or "").split(",")))
        elif name in SWITCHES:
            self._switches[name] = _amount(name, value, when_true=math.inf)
        elif name in NUMBERS:
            self._numbers[name] = _amount(name, value, when_true=1.0)
        else:
            known = ", ".join([*SWITCHES, *NUMBERS, "die_at", "only_in"])
            raise ValueError(f"no fault is named {name!r}; there are: {known}")

    def set_from_text(self, text: str) -> None:
        """Switches a fault as the command line spells it: ``NAME`` or ``NAME=VALUE``."""
        name, given, value = text.partition("=")
        self.set(name, value if given else True)

    def on(self, name: str) -> bool:
        """Whether a switch is on and acts here; asking does not use it up."""
        return self._switches[name] > 0 and (not self._only_in or self._profile in self._only_in)

    def take(self, name: str) -> bool:
        """Whether a switch is on; one of its N uses is spent."""
        if not self.on(name):
            return False
        self._switches[name] -= 1
        return True

    def number(self, name: str) -> float:
        """The number set for a fault, 0.0 where none is."""
        return self._numbers[name]

    def die_if(self, moment: str) -> None:
        """Kills this very process, as the operating system would, if that moment was chosen."""
        if self._die_at == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def dies_at(self, moment: str) -> bool:
        """Whether that moment was chosen as the last one."""
        return self._die_at == moment

    def as_json(self) -> dict[str, Any]:
        """What is set: switches as ``true`` or the uses left, numbers, and texts."""
        switches = {k: True if math.isinf(v) else int(v) for k, v in self._switches.items() if v}
        numbers = {k: v for k, v in self._numbers.items() if v}
        texts = {"die_at": self._die_at, "only_in": ",".join(self._only_in)}
        return {**switches, **numbers, **{name: text for name, text in texts.items() if text}}


def _amount(name: str, value: Any, *, when_true: float) -> float:
    if value is None or value is False or value in ("", "false", "off"):
        return 0.0
    if value is True or value in ("true", "on"):
        return when_true
    try:
        amount = float(value)
    except (TypeError, ValueError):
        amount = -1.0
    if not 0 <= amount < 1e9:
        raise ValueError(f"{name} takes true, false or a number from 0; it got {value!r}")
    return amount
