"""Many files at once, on a real disk: the listing is the truth, whatever a watcher tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bursts import WATCHERS, Watcher, dropped_at_once

pytestmark = pytest.mark.realprocess


@pytest.mark.parametrize("watcher", WATCHERS)
def test_five_hundred_files_are_each_taken_once_whatever_the_watcher_tells(
    tmp_path: Path, watcher: Watcher
) -> None:
    """B1; ten thousand: ``python -m tests burst``."""
    burst = dropped_at_once(tmp_path, count=500, watcher=watcher)
    assert len(burst.names) == 500
    assert set(burst.names.values()) == {1}
    assert list((tmp_path / ".nightpress" / "taken").iterdir()) == []
