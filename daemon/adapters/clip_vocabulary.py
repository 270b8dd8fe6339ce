"""Touches the CLIP vocabulary that ComfyUI ships (comfy/sd1_tokenizer)."""

from __future__ import annotations

from pathlib import Path

from daemon.craft.clip_tokens import ClipTokens


def tokens(folder: Path) -> ClipTokens | None:
    """None: this folder has no vocabulary."""
    try:
        return ClipTokens.read(
            *((folder / name).read_text("utf-8") for name in ("vocab.json", "merges.txt"))
        )
    except (OSError, ValueError):
        return None
