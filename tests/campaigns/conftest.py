"""What a campaign can be told on its command line."""

from __future__ import annotations

import secrets

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--times", type=int, default=50, help="kill: how many moments")
    parser.addoption(
        "--studios", type=int, default=1, help="kill: among how many studios they are dealt out"
    )
    parser.addoption(
        "--seed", type=int, default=secrets.randbelow(2**32), help="kill: what chooses the moments"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a studio, so that `-n` kills in several at once."""
    if "studio_number" in metafunc.fixturenames:
        metafunc.parametrize("studio_number", range(metafunc.config.getoption("--studios")))
