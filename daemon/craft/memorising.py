"""Craft room: what the checkpoints of a training draw, held against what they were trained on.

Law: it counts and says what was seen; it never chooses a checkpoint. That is the maker's (D2.3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby
from statistics import fmean
from typing import Literal

from daemon.craft.picture import distance

# Of 64 places of a perceptual hash. Unrelated pictures differ in about 32 of them.
SAME_PLACES = 4
NEAR_PLACES = 10
# Training prompts come out closer anyway, and by chance by up to 7 places (two pictures of each).
_GAP_PLACES = 8
# A prompt is like a caption when this share of its tags is in that one caption.
_FAMILIAR_SHARE = 0.75

Mark = Literal["", "near", "same"]


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
    pictures of prompts like the captions, and of others, to the nearest training image; ``apart``
    between pictures of different novel prompts.
    """

    step: int
    pictures: int
    same: int
    near: int
    closest: Nearest | None
    familiar: float | None
    novel: float | None
    apart: float | None

    @property
    def code(self) -> str:
        """The symptom that it speaks for, the plainest first: MEMORISED, LORA_POSE, OVERFIT, ''."""
        if not self.step:
            return ""
        if self.same:
            return "MEMORISED"
        if self.apart is not None and self.apart <= NEAR_PLACES:
            return "LORA_POSE"
        return "OVERFIT" if self._gap >= _GAP_PLACES else ""

    @property
    def _gap(self) -> float:
        if self.familiar is None or self.novel is None:
            return 0.0
        return self.novel - self.familiar

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
        return [*told, _HINTS[self.code]] if self.code else told


_HINTS: Mapping[str, str] = {
    "MEMORISED": "It draws training images again: overfit.",
    "LORA_POSE": "Different novel prompts come out alike: the poses are learnt too.",
    "OVERFIT": "It follows its captions much better than other prompts: overfit is likely.",
}


def nearest(perceptual_hash: str, training: Mapping[str, str]) -> Nearest | None:
    """Among the training images (name -> perceptual hash); None where one of both is missing."""
    if not perceptual_hash or not training:
        return None
    image = min(training, key=lambda name: (distance(perceptual_hash, training[name]), name))
    return Nearest(image, distance(perceptual_hash, training[image]))


def is_familiar(prompt: str, captions: Iterable[str]) -> bool:
    """Whether a prompt says little more than one of the captions."""
    asked = _tags(prompt)
    return any(len(asked & _tags(each)) >= _FAMILIAR_SHARE * len(asked) for each in captions)


def familiar_prompts(captions: Mapping[str, str], *, count: int = 1) -> Sequence[str]:
    """Captions (image -> caption) to be drawn beside the novel prompts, spread over the dataset."""
    told = list(dict.fromkeys(captions[image] for image in sorted(captions) if captions[image]))
    return [told[place * len(told) // count] for place in range(min(count, len(told)))]


def sights(
    drawn: Iterable[Drawn], training: Mapping[str, str], captions: Sequence[str]
) -> Sequence[Sight]:
    """One a checkpoint, in order of steps."""
    ordered = sorted(drawn, key=lambda each: each.step)
    familiar = {each.prompt for each in ordered if is_familiar(each.prompt, captions)}
    by_step = groupby(ordered, key=lambda each: each.step)
    return [_sight(step, list(each), training, familiar) for step, each in by_step]


def _sight(
    step: int, drawn: Sequence[Drawn], training: Mapping[str, str], familiar: set[str]
) -> Sight:
    seen = [each for each in drawn if each.perceptual_hash]
    found = [(each, near) for each in seen if (near := nearest(each.perceptual_hash, training))]
    marks = [near.mark for _, near in found]
    return Sight(
        step=step,
        pictures=len(seen),
        same=marks.count("same"),
        near=marks.count("near"),
        closest=min((near for _, near in found), key=lambda near: near.places, default=None),
        familiar=_mean(near.places for each, near in found if each.prompt in familiar),
        novel=_mean(near.places for each, near in found if each.prompt not in familiar),
        apart=_mean(
            distance(one.perceptual_hash, other.perceptual_hash)
            for one, other in combinations(seen, 2)
            if one.prompt != other.prompt and familiar.isdisjoint((one.prompt, other.prompt))
        ),
    )


def _mean(values: Iterable[int]) -> float | None:
    found = list(values)
    return fmean(found) if found else None


def _tags(text: str) -> set[str]:
    return {tag for part in text.casefold().split(",") if (tag := " ".join(part.split()))}
