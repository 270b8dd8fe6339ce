"""What holds for every test: chance that can be replayed, and no deadline to miss."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("house", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("house")
