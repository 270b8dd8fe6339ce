"""Adapters room: the studio's folder, through the system's own calls."""

from daemon.adapters.disk.studio import StudioDisk

__all__ = ["StudioDisk"]
