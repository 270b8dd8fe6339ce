"""``python -m tests burst``: ten thousand job files at once, each taken once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bursts import WATCHERS, Watcher, dropped_at_once


@pytest.mark.parametrize("watcher", WATCHERS)
def test_ten_thousand_files_are_each_taken_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], watcher: Watcher
) -> None:
    burst = dropped_at_once(tmp_path, count=10_000, watcher=watcher)
    assert len(burst.names) == 10_000
    assert set(burst.names.values()) == {1}
    with capsys.disabled():
        print(f"\nwatcher {watcher}: 10,000 files in {burst.took_s:.0f} s")
