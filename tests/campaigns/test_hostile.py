"""``python -m tests hostile``: 100,000 broken and poisoned job files, each to its ledger line."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.shell.test_hostile_files import hold_the_promise

IN_ALL, AT_ONCE = 100_000, 5_000


@pytest.mark.parametrize("first", range(0, IN_ALL, AT_ONCE))
def test_every_hostile_file_is_answered(first: int, capsys: pytest.CaptureFixture[str]) -> None:
    found = hold_the_promise(first, AT_ONCE)
    with capsys.disabled():
        told = ", ".join(f"{count} {what}" for what, count in Counter(found["answers"]).items())
        print(
            f"\nfrom {first}: {told}; at most {found['slowest_s']:.2f} s ({found['slowest']}) and "
            f"{found['peak_mb']:.0f} MB",
            end="  ",
        )
