"""Craft room: what the checkpoints of a training draw, held against what they were trained on.

Law: it counts and says what was seen; it never chooses a checkpoint. That is the maker's (D2.3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, groupby
from statistics import fmean
from typing import Literal

from daemon.core.stages import UNRELATED
from daemon.craft.picture import distance

# Of 64 places of a perceptual hash. Unrelated pictures differ in about 32 of them.
SAME_PLACES = 4
NEAR_PLACES = 10
# Training prompts come out closer anyway, and by chance by up to 7 places (two pictures of each).
_GAP_PLACES = 8
# A prompt is like a caption when this share of its tags is in that one caption.
_FAMILIAR_SHARE = 0.75

Mark = Literal["", "near", "same"]
Kind = Literal["trigger", "training", "novel", "unrelated"]
"""Of a prompt: the trigger alone, the like of a caption, what no caption says; or nothing of it."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One picture of the grid; ``step`` 0 is drawn without the LoRA.

    ``perceptual_hash`` is ``PictureStats``'s; '' (and ``png`` empty) where nothing could be drawn.
    """

    step: int
    prompt: str
    seed: int
    perceptual_hash: str = ""
    png: bytes = b""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The training image that a picture is closest to, ``places`` of 64 away."""

    image: str
    places: int

    @property
    def mark(self) -> Mark:
        """``same``: the same picture to a person."""
        if self.places > NEAR_PLACES:
            return ""
        return "near" if self.places > SAME_PLACES else "same"

    @property
    def text(self) -> str:
        """In few words."""
        return f"{self.places} of 64 from {self.image}"


@dataclass(frozen=True, slots=True)
class Sight:
    """What a checkpoint's pictures show.

    Of ``pictures``, ``same`` look like a training image and ``near`` come close to one. The means
    of the places (of 64; None where there is no such pair): ``familiar`` and ``novel`` from
    pictures of prompts like the captions, and of novel ones, to the nearest training image;
    ``apart`` between pictures of different novel prompts; ``drift`` from what the unrelated prompt
    draws without the LoRA, whose ``strayed`` pictures with it come close to a training image.
    ``bare``: the symptoms that pictures without the LoRA have too.
    """

    step: int
    pictures: int
    same: int
    near: int
    closest: Nearest | None
    familiar: float | None
    novel: float | None
    apart: float | None
    drift: float | None
    strayed: int
    bare: frozenset[str] = frozenset()

    @property
    def code(self) -> str:
        """The plainest symptom that the LoRA has brought, '' for none."""
        return next((code for code in self.symptoms if code not in self.bare), "")

    @property
    def symptoms(self) -> Sequence[str]:
        """Whatever brought them, the plainest first."""
        gap = 0.0
        if self.familiar is not None and self.novel is not None:
            gap = self.novel - self.familiar
        found = {
            "MEMORISED": self.same > 0,
            "TRIGGER_BLEED": self.strayed > 0,
            "LORA_POSE": self.apart is not None and self.apart <= NEAR_PLACES,
            "OVERFIT": gap >= _GAP_PLACES,
        }
        return [code for code, seen in found.items() if seen]

    @property
    def lines(self) -> Sequence[str]:
        """For the maker: the numbers, then what they hint at."""
        if self.closest is None:
            return ["Nothing to compare it with."]
        told = [
            f"Of {self.pictures} pictures, {self.same} same, {self.near} near.",
            f"Closest: {self.closest.text}.",
        ]
        if self.familiar is not None and self.novel is not None:
            told.append(f"Training prompts {self.familiar:.0f} away, novel {self.novel:.0f}.")
        if self.step and self.drift is not None:
            told.append(f"It changes the unrelated prompt by {self.drift:.0f}.")
        return [*told, _HINTS[self.code]] if self.code else told

    @property
    def text(self) -> str:
        """The same in one line."""
        return " ".join(self.lines)


_HINTS: Mapping[str, str] = {
    "MEMORISED": "It draws training images again: overfit.",
    "TRIGGER_BLEED": "The character comes without its trigger.",
    "LORA_POSE": "Different novel prompts come out alike: the poses are learnt too.",
    "OVERFIT": "It follows its captions much better than other prompts: overfit is likely.",
}


def nearest(perceptual_hash: str, training: Mapping[str, str]) -> Nearest | None:
    """Among the training images (name -> perceptual hash); None where one of both is missing."""
    if not perceptual_hash or not training:
        return None
    image = min(training, key=lambda name: (distance(perceptual_hash, training[name]), name))
    return Nearest(image, distance(perceptual_hash, training[image]))


def kind_of(prompt: str, captions: Iterable[str]) -> Kind:
    """By the tags that it shares with one caption or another."""
    if prompt == UNRELATED:
        return "unrelated"
    asked = _tags(prompt)
    if any(len(asked & _tags(each)) >= _FAMILIAR_SHARE * len(asked) for each in captions):
        return "training" if len(asked) > 1 else "trigger"
    return "novel"


def familiar_prompts(captions: Mapping[str, str], *, count: int = 1) -> Sequence[str]:
    """Captions (image -> caption) to be drawn beside the novel prompts, spread over the dataset."""
    told = list(dict.fromkeys(captions[image] for image in sorted(captions) if captions[image]))
    return [told[place * len(told) // count] for place in range(min(count, len(told)))]


def sights(
    drawn: Iterable[Drawn], training: Mapping[str, str], captions: Sequence[str]
) -> Sequence[Sight]:
    """One a checkpoint, in order of steps."""
    seen = {each: nearest(each.perceptual_hash, training) for each in drawn}
    ordered = sorted(seen, key=lambda each: each.step)
    bare = {(each.prompt, each.seed): each for each in ordered if not each.step}
    found: list[Sight] = []
    for step, group in groupby(ordered, key=lambda each: each.step):
        kinds: dict[Kind, list[Drawn]] = {}
        for each in filter(lambda each: each.perceptual_hash, group):
            kinds.setdefault(kind_of(each.prompt, captions), []).append(each)
        found.append(_sight(step, kinds, seen, bare))
    without = frozenset(code for each in found if not each.step for code in each.symptoms)
    return [replace(each, bare=without) for each in found]


def _sight(
    step: int,
    kinds: Mapping[Kind, Sequence[Drawn]],
    seen: Mapping[Drawn, Nearest | None],
    bare: Mapping[tuple[str, int], Drawn],
) -> Sight:
    def closest(*wanted: Kind) -> Sequence[Nearest]:
        return [found for kind in wanted for each in kinds.get(kind, ()) if (found := seen[each])]

    novel, unrelated = kinds.get("novel", ()), kinds.get("unrelated", ())
    every = closest(*kinds)
    marks = [found.mark for found in every]
    twins = [(each, bare.get((each.prompt, each.seed))) for each in unrelated]
    return Sight(
        step=step,
        pictures=sum(map(len, kinds.values())),
        same=marks.count("same"),
        near=marks.count("near"),
        closest=min(every, key=lambda found: found.places, default=None),
        familiar=_mean(found.places for found in closest("trigger", "training")),
        novel=_mean(found.places for found in closest("novel")),
        apart=_apart(pair for pair in combinations(novel, 2) if pair[0].prompt != pair[1].prompt),
        drift=_apart((each, twin) for each, twin in twins if twin and twin.perceptual_hash),
        strayed=sum(1 for found in closest("unrelated") if found.mark),
    )


def _apart(pairs: Iterable[tuple[Drawn, Drawn]]) -> float | None:
    return _mean(distance(one.perceptual_hash, other.perceptual_hash) for one, other in pairs)


def _mean(values: Iterable[int]) -> float | None:
    found = list(values)
    return fmean(found) if found else None


def _tags(text: str) -> set[str]:
    return {tag for part in text.casefold().split(",") if (tag := " ".join(part.split()))}
