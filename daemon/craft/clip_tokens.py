"""Craft room: text -> the tokens of CLIP, which is all that SD1.5 ever reads of a caption.

The vocabulary is ComfyUI's (comfy/sd1_tokenizer: vocab.json, merges.txt); none of it is kept here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

CAPTION_TOKENS = 75
"""What fits between the begin and the end token of one text."""

# Letters, single digits and Chinese characters, and whatever else stands together without a blank,
# as CLIP splits them. Python takes the numbers beside the digits for letters.
_NUMBERS = "²³¹¼½¾Ⅰ-ↈ①-⒛"
_HAN = "㐀-䶿一-鿿豈-﫿"
_PARTS = re.compile(
    rf"'s|'t|'re|'ve|'m|'ll|'d|[{_HAN}]|[^\W\d_{_NUMBERS}{_HAN}]+|[\d{_NUMBERS}]|(?:[^\s\w]|_)+",
    re.IGNORECASE,
)
_END = "</w>"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _byte_letters() -> Mapping[int, str]:
    """The letter that stands for each byte: itself where it can be seen, else one beyond 255."""
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return {byte: chr(byte) for byte in seen} | {
        byte: chr(256 + place) for place, byte in enumerate(hidden)
    }


_LETTER_OF = _byte_letters()
_BYTE_OF = {letter: byte for byte, letter in _LETTER_OF.items()}


@dataclass(frozen=True, slots=True)
class ClipTokens:
    """CLIP's byte-pair encoding. ``ranks``: which two pieces are joined, the earlier the sooner."""

    words: frozenset[str]
    ranks: Mapping[tuple[str, str], int]

    @classmethod
    def read(cls, vocabulary: str, merges: str) -> ClipTokens:
        """Of the texts of vocab.json and merges.txt. Raises ``ValueError`` when they are none."""
        match json.loads(vocabulary):
            case dict() as tokens:
                pass
            case _:
                raise ValueError("vocab.json is no table of tokens")
        lines = (line.split() for line in merges.splitlines() if not line.startswith("#version"))
        pairs = [(pair[0], pair[1]) for pair in lines if len(pair) == 2]
        words = frozenset(token.removesuffix(_END) for token in tokens if token.endswith(_END))
        return cls(words, {pair: rank for rank, pair in enumerate(pairs)})

    def split(self, text: str) -> tuple[str, ...]:
        """The tokens as people read them: ``spyke_v1`` -> ``sp yke _ v 1``."""
        return tuple(
            bytes(_BYTE_OF[letter] for letter in piece.removesuffix(_END)).decode(errors="replace")
            for part in _PARTS.findall(text.lower())
            for piece in self._pieces(part)
        )

    def count(self, text: str) -> int:
        """How many tokens it has, without those of its begin and end."""
        return sum(len(self._pieces(part)) for part in _PARTS.findall(text.lower()))

    def knows(self, word: str) -> bool:
        """Whether the model has it as one whole word."""
        return word.lower() in self.words

    def neighbour(self, word: str, *, least: int = 4) -> str:
        """A word of so many letters or more that this is or is one letter from; '' = none."""
        near = (each for each in _edits(word.lower()) if len(each) >= least and self.knows(each))
        return next(near, "")

    def _pieces(self, part: str) -> list[str]:
        letters = [_LETTER_OF[byte] for byte in part.encode()]
        pieces = [*letters[:-1], letters[-1] + _END]
        while len(pieces) > 1:
            none = len(self.ranks)
            best = min(pairwise(pieces), key=lambda pair: self.ranks.get(pair, none))
            if best not in self.ranks:
                break
            pieces = _joined(pieces, best)
        return pieces


def _joined(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    found: list[str] = []
    rest = iter(zip(pieces, [*pieces[1:], ""], strict=True))
    for one, other in rest:
        if (one, other) == pair:
            found.append(one + other)
            next(rest)
        else:
            found.append(one)
    return found


def _edits(word: str) -> Iterator[str]:
    """The word, and all that one letter more, less or other makes of it, in this order."""
    yield word
    cuts = [(word[:place], word[place:]) for place in range(len(word) + 1)]
    yield from (left + letter + right[1:] for left, right in cuts if right for letter in _LETTERS)
    yield from (left + right[1:] for left, right in cuts if right)
    yield from (left + letter + right for left, right in cuts for letter in _LETTERS)
