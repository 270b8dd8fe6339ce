"""Adapters room: looking at pictures, in a process that may be killed for it."""

from daemon.adapters.pixels.reader import PictureReader

__all__ = ["PictureReader"]
