"""The review sheet of a month in a real browser, opened by its path as from the Finder.

Law: what others have written is text to it, whoever looks at it and however.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from daemon.adapters.disk import StudioDisk
from tests import needs
from tests.sheet_month import Month, evil, write

pytestmark = pytest.mark.realprocess

SCRIPT = Path(__file__).parents[1] / "node" / "sheet.mjs"


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What the browser said of a month in which every field means no good."""
    node, chromium = needs.node(), needs.browser()
    needs.node_modules()
    studio = tmp_path_factory.mktemp("studio with spaces, # and ü")
    month = Month(evil, panels_a_day=1)
    month.files(studio / "outbox")
    asyncio.run(write(month, StudioDisk(studio)))
    paths = (SCRIPT, chromium, studio / "outbox", studio, "sheet/2026-11.html")
    done = subprocess.run(
        [node, *map(str, paths)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    told: Mapping[str, Any] = json.loads(done.stdout)
    return told


def test_it_opens_by_its_path_and_asks_for_nothing_but_its_pictures(
    said: Mapping[str, Any],
) -> None:
    assert said["errors"] == []
    assert {url.partition(":")[0] for url in said["requests"]} == {"file"}
    assert said["missing"] == []
    assert said["images"] > 30


@pytest.mark.parametrize("page", ["index", "month"])
def test_scripts_and_handlers_in_every_field_stay_text(page: str, said: Mapping[str, Any]) -> None:
    """So does what a template engine, a terminal or a reader of bidi text would obey."""
    seen = said["pages"][page]
    assert (seen["ran"], seen["obeyed"]) == (False, [])
    assert seen["text"].count("<script>hit=1</script>") > 100
    assert seen["text"].count("{{ 7*7 }}") > 100
    assert not {"\x1b", "\u202e", "\u2028"} & set(seen["text"])


def test_its_links_lead_somewhere_and_no_name_is_there_twice(said: Mapping[str, Any]) -> None:
    for page in said["pages"].values():
        assert (page["twice"], page["dangling"]) == ([], [])


def test_a_fold_out_opens_and_closes_by_keyboard_and_the_first_stop_skips_the_head(
    said: Mapping[str, Any],
) -> None:
    assert said["stops"] == ["#main"]
    assert said["states"] == ["closed, solid ring", "open, solid ring", "closed, solid ring"]


@pytest.mark.parametrize("look", ["light", "dark", "print", "month"])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    look: str, said: Mapping[str, Any]
) -> None:
    """Nothing serious, critical or less: light at 1280 pixels, dark at 320, and on paper."""
    assert said["looks"][look] == {"violations": [], "wider": 0}
