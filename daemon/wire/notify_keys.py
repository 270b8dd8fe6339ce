"""Spells ``[notify]``: of what a person is told, when she is not, and by which command."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from daemon.wire.complaints import STRICT, rule
from daemon.wire.window_text import read_span

Kind = Literal["done", "failed", "needs_you"]

_MOST = 20


def _hours_fault(hours: list[str]) -> str:
    if len(hours) > _MOST:
        return f"These are {len(hours)} stretches of quiet, and {_MOST} are enough for any week."
    faults = (found for found in map(read_span, hours) if isinstance(found, str))
    return next(faults, "")


def _command_fault(command: list[str]) -> str:
    if not command or (command[0].startswith("/") and all(map(str.isprintable, command))):
        return ""
    return (
        "A command is a list of words, the first one the whole path of a program, without a shell."
        ' Write for example: command = ["/usr/local/bin/tell-me"]'
    )


class Notify(BaseModel):
    """In a studio's nightpress.toml."""

    model_config = STRICT
    on: list[Kind] = Field(default=["failed", "needs_you"])
    quiet_hours: Annotated[list[str], rule(_hours_fault)] = Field(
        default=[], examples=[["22:00-08:00"]]
    )


class UserNotify(BaseModel):
    """In the user's own file."""

    model_config = STRICT
    command: Annotated[list[str], rule(_command_fault)] = Field(
        default=[], examples=[["/usr/local/bin/tell-me"]]
    )
