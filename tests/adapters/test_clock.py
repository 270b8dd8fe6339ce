"""The wall clock and chance."""

from __future__ import annotations

import time

from daemon.adapters.clock import SystemClock, SystemEntropy


def test_the_clock_tells_milliseconds_and_chance_32_digits() -> None:
    before = time.time_ns() // 1_000_000
    assert before <= SystemClock().now() <= before + 5_000
    tokens = {SystemEntropy().token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == 32 and int(token, 16) >= 0 for token in tokens)
