"""What can be the matter with the engine, in sentences."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.wire.comfyui import EngineFacts


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the engine cannot be used just now: a code and a sentence."""

    code: str
    text: str


def stuck(prompt_id: str) -> Trouble:
    """A prompt does not leave an engine that is not ours to restart."""
    text = f"{holds(prompt_id)} Restart the engine; jobs wait meanwhile."
    return Trouble("ENGINE_STUCK", text)


def holds(prompt_id: str) -> str:
    """Which prompt the engine holds on to."""
    return (
        f"The engine holds on to prompt {prompt_id}, which neither ends nor obeys an interrupt: its"
        " worker is dead though it answers."
    )


def shared(others: int) -> Trouble:
    """Others' prompts are on the engine."""
    prompts = "A prompt" if others == 1 else f"{others} prompts"
    text = f"{prompts} of somebody else on the engine; jobs wait until it is done with them."
    return Trouble("ENGINE_SHARED", text)


def changed(before: EngineFacts, facts: EngineFacts) -> str:
    """What became of the server between two looks."""
    if before.version != facts.version:
        return f"The engine was {before.name} {before.version} and is {facts.version} now."
    if before != facts:
        return "The engine was started again, with other arguments or on another device."
    return "The engine was started again, not by nightpress; what was in its queue is lost."
