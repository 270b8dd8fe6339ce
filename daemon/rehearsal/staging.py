"""Rehearsal room: what a prompt's words say about staging: framing, pose, place, weather.

A storyboard needs few words; what is not recognised is left to the writing beside the picture.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Framing to the share of a standing figure, from the top of the head down, that the panel shows.
# Above 1 there is air around the figure. The first entry whose word occurs wins.
_FRAMINGS: Sequence[tuple[str, float, Sequence[str]]] = (
    ("CLOSE-UP", 0.25, ("close-up", "close up", "closeup", "face", "portrait", "headshot")),
    ("UPPER BODY", 0.52, ("upper body", "half body", "bust", "waist up", "from the waist")),
    ("KNEES UP", 0.78, ("cowboy shot", "knees up", "three-quarter", "medium shot")),
    ("WIDE SHOT", 2.3, ("wide shot", "long shot", "very wide", "establishing", "from afar")),
    ("FULL BODY", 1.1, ("full body", "full-body", "standing", "whole body")),
)
_DEFAULT_FRAMING = ("MEDIUM", 1.02)
_POSES: Mapping[str, Sequence[str]] = {
    "leap": ("leaping", "leap", "jumping", "jump", "flying", "falling", "midair", "mid-air"),
    "run": ("running", "run", "dashing", "dash", "chasing", "sprinting", "charging"),
    "fight": ("fighting", "fight", "battle", "attacking", "slash", "swinging", "punch", "kick"),
    "sit": ("sitting", "seated", "crouching", "kneeling", "squatting", "sit"),
}
_PLACES: Mapping[str, Sequence[str]] = {
    "blank": ("white background", "simple background", "plain background", "grey background"),
    "room": ("indoors", "room", "corridor", "office", "classroom", "kitchen", "bedroom", "hall"),
    "city": ("city", "street", "alley", "building", "rooftop", "urban", "town", "skyscraper"),
    "forest": ("forest", "tree", "trees", "woods", "jungle", "park"),
}
_NOBODY = ("no humans", "scenery", "landscape only", "empty room", "background only")
_TWO = ("2girls", "2boys", "two people", "duo", "couple", "versus", "1boy, 1girl", "1girl, 1boy")


@dataclass(frozen=True, slots=True)
class Staging:
    """How a panel is staged. ``shown``: share of a standing figure that the panel shows."""

    framing: str
    shown: float
    pose: str
    place: str
    figures: int
    night: bool
    rain: bool
    cloak: bool
    blade: bool

    @property
    def moving(self) -> bool:
        """Whether speed lines belong here."""
        return self.pose in ("leap", "run", "fight")


def stage(prompt: str) -> Staging:
    """Reads a prompt for staging; works for any text."""
    text = prompt.lower()
    framing, shown = _DEFAULT_FRAMING
    for name, share, words in reversed(_FRAMINGS):
        if _has(text, words):
            framing, shown = name, share
    return Staging(
        framing=framing,
        shown=shown,
        pose=_first(text, _POSES, "stand"),
        place=_first(text, _PLACES, "hills"),
        figures=0 if _has(text, _NOBODY) else 2 if _has(text, _TWO) else 1,
        night=_has(text, ("night", "midnight", "dark", "moonlight", "evening")),
        rain=_has(text, ("rain", "raining", "storm", "downpour")),
        cloak=_has(text, ("cloak", "cape", "coat", "robe", "mantle")),
        blade=_has(text, ("sword", "broadsword", "blade", "katana", "spear", "greatsword")),
    )


def _has(text: str, words: Sequence[str]) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) for word in words)


def _first(text: str, table: Mapping[str, Sequence[str]], default: str) -> str:
    return next((name for name, words in table.items() if _has(text, words)), default)
