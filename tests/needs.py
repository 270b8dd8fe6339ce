"""What a test needs beyond Python: programs (in CI a failure), material (skipped aloud)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def program(*names: str) -> str:
    """The path of the first of these programs that is on PATH (``needs.program("node")``)."""
    found = next((path for name in names if (path := shutil.which(name))), None)
    return found or _missing(f"not on PATH: {' or '.join(names)}")


def browser() -> str:
    """The path of a Chromium that can run headless."""
    return program("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def node() -> str:
    return program("node", "nodejs")


def node_modules() -> Path:
    """tests/node/node_modules, which `npm ci --prefix tests/node` fills: tsc, Playwright, axe."""
    node()
    modules = Path(__file__).parent / "node" / "node_modules"
    return modules if modules.is_dir() else _missing("not installed: npm ci --prefix tests/node")


def file(path: Path) -> Path:
    """A recording or other material that may not have been handed out with the source."""
    return path if path.exists() else pytest.skip(f"{path.name} is not there")


def _missing(what: str) -> NoReturn:
    """A skip is honest, but in CI, which installs everything, it would hide a dead check."""
    if os.environ.get("NIGHTPRESS_CI") == "1":
        pytest.fail(f"{what}, and in CI nothing may be missing", pytrace=False)
    pytest.skip(what)
