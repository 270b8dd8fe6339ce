"""Adapters room: the wall clock and chance, the two things that no fold can bring back."""

from __future__ import annotations

import secrets
import time


class SystemClock:
    """Implements ``ports.Clock``. It may step: what comes later is told by ``seq``, not by it."""

    def now(self) -> int:
        """Milliseconds since 1970, UTC."""
        return time.time_ns() // 1_000_000


class SystemEntropy:
    """Implements ``ports.Entropy``."""

    def token(self) -> str:
        """32 fresh hexadecimal digits."""
        return secrets.token_hex(16)
