"""Rehearsal room: the faults that tests switch on; each is an end that the real server was seen in.

Whatever knows about faults asks this one object; nothing happens unless a fault was set.
"""

import math
from collections.abc import Mapping

NAMES: Mapping[str, str] = {
    "drop_socket": "all sockets are cut in the middle of sampling",
    "mute_socket": "nothing is sent on sockets any more; HTTP goes on",
    "lose_history": "the prompt runs but never appears in the history",
    "node_errors_200": "the prompt is accepted with errors for one more output",
    "post_500_but_queued": "POST /prompt answers 500 although the prompt was queued",
    "missing_output": "the PNG is deleted after it was saved",
    "oom": "the sampler fails as PyTorch does when MPS memory runs out",
    "late_history": "seconds between execution_success and the history entry",
    "refuse_post": "HTTP status that answers every POST /prompt",
}


class Faults:
    """What is switched on. ``True`` holds until it is set off, a number acts so many times."""

    def __init__(self) -> None:
        self._amounts: dict[str, float] = dict.fromkeys(NAMES, 0.0)

    def set(self, name: str, value: bool | float) -> None:
        """Sets one fault; raises KeyError for a name that is none."""
        _ = NAMES[name]
        self._amounts[name] = math.inf if value is True else float(value)

    def take(self, name: str) -> bool:
        """Whether a fault is on; one of its uses is spent."""
        on = self._amounts[name] > 0
        self._amounts[name] -= on
        return on

    def number(self, name: str) -> float:
        """The number set for a fault, 0.0 where none is; asking does not use it up."""
        return self._amounts[name]
