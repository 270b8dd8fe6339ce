"""Adapters room: the engine's model folders, what is in them, and what their files are."""

from daemon.adapters.weights.folders import Installed, ModelFolders

__all__ = ["Installed", "ModelFolders"]
