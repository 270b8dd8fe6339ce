"""Spells what ComfyUI writes on stderr and nowhere else: pictures without their LoRA or with NaN
are reported as success, and only the log tells.

Law: any text is read and none raises; the same words are found wherever a progress bar stands.
A LoRA is spoken of when it is loaded, not again for pictures that find it loaded. Wordings as of
0.3.64 and of PyTorch's MPS backend.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from daemon.wire.phrases import counted, some, times
from daemon.wire.text import excerpt

LINE_LIMIT = 2_000
"""Characters read of a line."""
NAMES_LIMIT = 20
_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Words:
    """What a stretch of log says: counts, and names as the server wrote them.

    ``lora_shape`` is the first LoRA key that did not fit and why, ``fallbacks`` counts by
    operator.
    """

    nan_warnings: int = 0
    lora_keys_unmatched: int = 0
    lora_shapes: int = 0
    lora_shape: str = ""
    failed_packs: tuple[str, ...] = ()
    fallbacks: Mapping[str, int] = field(default_factory=dict)
    out_of_memory: int = 0
    tiled_retries: int = 0


# A bar ends without a newline, and what comes next is printed where it ended.
_BAR = re.compile(r"^[^|]*\d%\|[^|]*\| *\S+/\S+ \[[^\]]*\]")
_ENDS = re.compile(r"[\r\n]")
_NAN = re.compile(r"(?:.*: )?RuntimeWarning: invalid value encountered in cast")
_UNMATCHED = re.compile(r"lora key not loaded: ")
_SHAPE = re.compile(
    r"(?:ERROR (?:lora|loha|lokr|glora|oft|boft)|WARNING SHAPE MISMATCH) (\S+ .*(?:shape|size).*)",
)
_PACK = re.compile(r"(?: *[\d.]+ seconds \()?(?:IMPORT|PRESTARTUP) FAILED\)?: (?:.*/)?(.+)")
_FALLBACK = re.compile(
    r"(?:.*: )?UserWarning: The operator '([^']+)' is not currently supported on the MPS backend"
)
_TILED = re.compile(r"Warning: Ran out of memory when regular VAE")
_MEMORY = re.compile(r"[\w.]*OutOfMemoryError\b|[\w.]+: .*(?:out of memory|Invalid buffer size)")


def read_words(text: str) -> Words:
    """What the log, or a piece of it that begins and ends with a line, says."""
    lines = [_BAR.sub("", line[:LINE_LIMIT]) for line in _ENDS.split(text)]
    shapes = _found(_SHAPE, lines)
    return Words(
        nan_warnings=len(_found(_NAN, lines)),
        lora_keys_unmatched=len(_found(_UNMATCHED, lines)),
        lora_shapes=len(shapes),
        lora_shape=shapes[0] if shapes else "",
        failed_packs=tuple(dict.fromkeys(_found(_PACK, lines)))[:NAMES_LIMIT],
        fallbacks=dict(Counter(_found(_FALLBACK, lines)).most_common(NAMES_LIMIT)),
        out_of_memory=len(_found(_MEMORY, _errors(lines))),
        tiled_retries=len(_found(_TILED, lines)),
    )


def scores(words: Words) -> Mapping[str, float]:
    """The counts that belong to a picture's judgement, those that are not zero."""
    counts = {
        "nan_warnings": words.nan_warnings,
        "lora_keys_unmatched": words.lora_keys_unmatched,
        "cpu_fallbacks": sum(words.fallbacks.values()),
    }
    return {name: float(count) for name, count in counts.items() if count}


def codes(words: Words) -> Sequence[tuple[str, str]]:
    """Each thing that is wrong, as its code and a sentence with how often it was said."""
    return list(_sentences(words))


def _sentences(words: Words) -> Iterator[tuple[str, str]]:
    if often := words.nan_warnings:
        yield "NAN_IN_PICTURE", f"The engine warned {times(often)} of values that are NaN."
    if often := words.lora_keys_unmatched:
        keys = counted(often, "key")
        yield "LORA_UNMATCHED", f"Left out, as the checkpoint has no such place: {keys} of a LoRA."
    if often := words.lora_shapes:
        first = excerpt(words.lora_shape, limit=_SHOWN)
        keys = counted(often, "key")
        yield "LORA_SHAPE", f"Left out, as the shape is wrong: {keys} of a LoRA, first {first}"
    if packs := words.failed_packs:
        what = f"{counted(len(packs), 'node pack')} ({some(map(excerpt, packs))})"
        yield "NODE_PACK_FAILED", f"Python could not import {what}."
    if words.fallbacks:
        each = (f"{excerpt(name)} {times(often)}" for name, often in words.fallbacks.items())
        yield "CPU_FALLBACK", f"Done on the CPU, as MPS cannot: {some(each)}."
    if often := words.out_of_memory:
        yield "OUT_OF_MEMORY", f"The GPU ran out of memory {times(often)}."
    if often := words.tiled_retries:
        yield "VAE_TILED", f"Memory was short {times(often)}: the VAE went over to tiles."


def _found(pattern: re.Pattern[str], lines: Iterable[str]) -> list[str]:
    """What the pattern's group is in each line that begins as it does; the whole without one."""
    return [found[found.lastindex or 0] for found in map(pattern.match, lines) if found]


def _errors(lines: Iterable[str]) -> Iterator[str]:
    """The last lines of tracebacks."""
    inside = False
    for line in lines:
        if line.startswith("Traceback (most recent call last):"):
            inside = True
        elif inside and line and not line[0].isspace():
            inside = False
            yield line
