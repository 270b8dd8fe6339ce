"""Craft room: whether a trigger is a word that the model knows already (K6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from daemon.craft.clip_tokens import ClipTokens
from daemon.craft.findings import Finding

_LETTERS = 4


def trigger_findings(trigger: str, tokens: ClipTokens | None) -> Iterator[Finding]:
    """Of a bare word whether CLIP has one like it; of a compound how CLIP splits it (W29)."""
    bare = re.fullmatch(r"[A-Za-z]+", trigger)
    if tokens is None:
        text = (
            f"Whether the model knows the trigger {trigger} already is unknown: there is no CLIP "
            "vocabulary here (ComfyUI has one, in comfy/sd1_tokenizer)."
        )
        yield Finding("note", "trigger-unknown", text)
        return
    split = " ".join(tokens.split(trigger))
    near = tokens.neighbour(trigger, least=_LETTERS) if bare else ""
    if near:
        alike = "is a word that the model knows"
        if near != trigger.lower():
            alike = f'is one letter from "{near}", which the model knows'
        text = (
            f"The trigger {trigger} {alike} (it reads: {split}), so the LoRA would fight with what "
            f'that word draws. Write a compound that nobody uses, such as "{trigger}_plasma_v1".'
        )
        yield Finding("refuse", "trigger-word", text)
    else:
        text = f"The model reads the trigger {trigger} as: {split}."
        yield Finding("note", "trigger-split", text)
