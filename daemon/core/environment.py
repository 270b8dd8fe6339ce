"""Where what was learnt of an engine is true: its environment, and its whole setup."""

from __future__ import annotations

from daemon.core.jobs import Engine

Environment = tuple[str, str, str, str, str]
"""Where a precision mends or does not: the engine's name, version, torch, os and device."""


ENVIRONMENT = ("name", "version", "torch", "os", "device")
"""What an environment's parts are called in a line of the ledger."""


def environment_of(engine: Engine) -> Environment:
    """What of an engine decides about precision; not the profile that it was started in."""
    return (engine.name, engine.version, engine.torch, engine.os, engine.device)


Setup = tuple[str, ...]
"""All of an engine that a reference run is true for."""

SETUP = (*ENVIRONMENT, "python", "custom_nodes", "args")


def setup_of(engine: Engine) -> Setup:
    """What has to be the same for a reference run to be true still; its port is not, and the
    folders that are named by it are others for each start.
    """
    return tuple(_joined(getattr(engine, key)) for key in SETUP)


def _joined(value: str | tuple[str, ...]) -> str:
    if isinstance(value, str):
        return value
    port = value.index("--port") if "--port" in value else len(value)
    return " ".join((*value[:port], *value[port + 2 :]))


def setup_document(setup: Setup) -> dict[str, str]:
    """A setup as a line of the ledger has it."""
    return dict(zip(SETUP, setup, strict=True))
