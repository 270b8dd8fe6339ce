"""The vocabulary is ComfyUI's: where it is not whole, there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.adapters.clip_vocabulary import tokens
from tests.craft.test_clip_tokens import MERGES, VOCABULARY


def test_it_is_read_from_the_folder_that_comfyui_ships(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text(VOCABULARY)
    (tmp_path / "merges.txt").write_text(MERGES)
    found = tokens(tmp_path)
    assert found is not None
    assert found.split("spyke") == ("spy", "ke")


@pytest.mark.parametrize("vocabulary", [None, "{", "[1]", "3"])
def test_what_is_none_is_no_vocabulary(tmp_path: Path, vocabulary: str | None) -> None:
    (tmp_path / "merges.txt").write_text(MERGES)
    if vocabulary is not None:
        (tmp_path / "vocab.json").write_text(vocabulary)
    assert tokens(tmp_path) is None
