"""What a campaign can be told on its command line."""

from __future__ import annotations

import secrets

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--times", type=int, default=50, help="kill: how many moments")
    parser.addoption(
        "--seed", type=int, default=secrets.randbelow(2**32), help="kill: what chooses the moments"
    )
