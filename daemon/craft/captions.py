"""Craft room: a dataset's captions -> what they leave out, and what the LoRA will learn for good.

Law: a word is found as a whole word of a tag, whatever its case; what the vocabularies lack is only
ever warned of, because nobody's vocabulary is whole.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from daemon.core.policy import Policy
from daemon.craft.clip_tokens import CAPTION_TOKENS, ClipTokens
from daemon.craft.findings import Finding, about

_POSES = """standing, sitting, kneeling, crouching, squatting, lying, walking, running, jumping,
leaping, flying, falling, fighting, fighting stance, battle stance, dynamic pose, action pose, pose,
t-pose, a-pose, arms crossed, crossed arms, arms up, arm up, hands on hips, hand on hip, leaning,
bending, pointing, waving, reaching, holding, swinging, climbing, dancing, sleeping, drinking,
eating, reading, looking at viewer, looking back, looking away, looking up, looking down,
looking to the side, from behind, from side, from above, from below, front view, side view,
back view, profile, three-quarter view, head tilt, turned around, salute, on back, on side"""
_BACKGROUNDS = """background, indoors, outdoors, street, city, town, village, forest, woods, field,
meadow, grass, mountain, hill, desert, beach, sea, ocean, lake, river, sky, clouds, night, sunset,
sunrise, rain, snow, fog, room, bedroom, kitchen, classroom, school, office, shop, tavern, castle,
ruins, temple, church, alley, rooftop, bridge, road, train, car, ship, space, cave, dungeon, arena,
battlefield, garden, park, wall, stage, workshop, library, hallway, stairs, window"""
_FULL_BODY = "full body, full-body, full shot, wide shot, long shot, very wide shot"
_UPPER_BODY = """upper body, upper-body, bust, half body, half-body, cowboy shot, medium shot,
waist up, waist-up, torso"""
_FACE = """face, close-up, closeup, close up, portrait, headshot, head shot, face closeup,
extreme close-up"""
_SHEETS = "sheet, turnaround, multiple views, model sheet, reference"
# What is on nine of ten pictures is learnt as part of the character.
_ALWAYS = 0.9


def _words(text: str) -> tuple[str, ...]:
    return tuple(" ".join(word.split()) for word in text.split(","))


@dataclass(frozen=True, slots=True)
class Words:
    """By which words a caption says pose, background and framing."""

    pose: tuple[str, ...] = _words(_POSES)
    background: tuple[str, ...] = _words(_BACKGROUNDS)
    full_body: tuple[str, ...] = _words(_FULL_BODY)
    upper_body: tuple[str, ...] = _words(_UPPER_BODY)
    face: tuple[str, ...] = _words(_FACE)

    @property
    def framings(self) -> Mapping[str, tuple[str, ...]]:
        """By what the policy calls them, the narrowest word last."""
        return {"full body": self.full_body, "upper body": self.upper_body, "face": self.face}


@dataclass(frozen=True, slots=True)
class Caption:
    """The caption of ``image``, as its file has it; the trainer reads the first line."""

    image: str
    text: str

    @property
    def line(self) -> str:
        """What is read of it."""
        return self.text.partition("\n")[0].strip()

    @property
    def tags(self) -> Sequence[str]:
        """Its tags, in small letters."""
        return [tag for part in self.line.casefold().split(",") if (tag := " ".join(part.split()))]

    def says(self, words: Iterable[str]) -> bool:
        """Whether one of these stands in it, as whole words."""
        return bool(_pattern(tuple(words)).search(", ".join(self.tags)))


@lru_cache(maxsize=64)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    parts = "|".join(re.escape(word.casefold()) for word in words)
    return re.compile(rf"(?<![\w-])(?:{parts})(?![\w-])" if parts else r"(?!)")


def caption_findings(
    captions: Sequence[Caption],
    *,
    trigger: str,
    features: Sequence[str],
    words: Words,
    tokens: ClipTokens | None,
    policy: Policy,
) -> Iterator[Finding]:
    """Everything of K5 and D1.3. ``trigger`` '' = not known: nothing is said of it."""
    yield from _texts(captions, trigger, tokens)
    yield from _alike(captions)
    yield from _parts(captions, features, words)
    yield from _baked(captions, words)
    yield from _framing(captions, words, policy)


def _texts(
    captions: Sequence[Caption], trigger: str, tokens: ClipTokens | None
) -> Iterator[Finding]:
    """What each caption's text by itself tells (K5.2, K5.4)."""
    marked = [each.image for each in captions if each.text.startswith("\ufeff")]
    text = (
        "the caption begins with a byte order mark, which the trainer takes for a letter. Save it "
        "as UTF-8 without BOM."
    )
    yield from about("refuse", "caption-mark", marked, text)
    several = [each.image for each in captions if each.text.partition("\n")[2].strip()]
    text = "of several lines the trainer reads the first. Put all tags into one line."
    yield from about("warn", "caption-lines", several, text)
    if trigger:
        lacking = [each.image for each in captions if not each.says([trigger])]
        text = (
            f"the caption lacks the trigger {trigger}, so the LoRA would not answer to it. Begin "
            "each caption with it."
        )
        yield from about("refuse", "trigger-missing", lacking, text)
        alone = [each.image for each in captions if each.tags == [trigger.casefold()]]
        text = (
            "the caption is the trigger alone, so whatever is to be seen becomes part of it. Add "
            "pose, background and framing."
        )
        yield from about("refuse", "trigger-only", alone, text)
    if tokens is not None:
        long = [each.image for each in captions if tokens.count(each.line) > CAPTION_TOKENS]
        text = (
            f"the caption has more than {CAPTION_TOKENS} CLIP tokens, and the rest is never read. "
            "Shorten it; the trigger and what matters come first."
        )
        yield from about("warn", "caption-long", long, text)


def _alike(captions: Sequence[Caption]) -> Iterator[Finding]:
    """Captions that tell nothing apart (K5.2)."""
    often = Counter(tuple(each.tags) for each in captions)
    same = [each.image for each in captions if often[tuple(each.tags)] > 1]
    if len(often) == 1 and len(captions) > 1:
        text = (
            "All captions are the same, so the LoRA cannot tell the character from what is around "
            "it. Say in each what is to be seen in its picture."
        )
        yield Finding("refuse", "captions-alike", text)
    else:
        text = "captions that are the same tell these pictures not apart. Say in each what differs."
        yield from about("warn", "captions-alike", same, text)


def _parts(captions: Sequence[Caption], features: Sequence[str], words: Words) -> Iterator[Finding]:
    """What a caption should say beside the trigger (K4.5, K5.3)."""
    wanted: Sequence[tuple[str, Iterable[str], str]] = [
        ("pose", words.pose, "standing, running"),
        ("background", words.background, "white background, forest"),
        ("framing", [word for each in words.framings.values() for word in each], "full body, face"),
    ]
    if features:
        wanted = [("feature", features, ", ".join(features[:3])), *wanted]
    for what, known, example in wanted:
        lacking = [each.image for each in captions if not each.says(known)]
        text = f"the caption names no {what} that is known here (such as {example})."
        yield from about("warn", f"{what}-missing", lacking, text)
    for feature in features:
        if not any(each.says([feature]) for each in captions):
            text = (
                f'No caption has the feature "{feature}". Where it is to be seen, say so, or the '
                "LoRA will not know it by this name."
            )
            yield Finding("warn", "feature-nowhere", text)


def _baked(captions: Sequence[Caption], words: Words) -> Iterator[Finding]:
    """Backgrounds and poses that are always there (K5.7)."""
    often = Counter(tag for each in captions for tag in set(each.tags))
    for tag, count in sorted(often.items()):
        told = Caption("", tag)
        known = {"background": words.background, "pose": words.pose}
        what = next((name for name, those in known.items() if told.says(those)), "")
        if what and len(captions) > 1 and count >= _ALWAYS * len(captions):
            text = (
                f'"{tag}" is on {count} of {len(captions)} pictures: this {what} will bake in, '
                "and come with the character everywhere. Add pictures with another one."
            )
            yield Finding("warn", "bakes-in", text)


def framing_of(caption: Caption, words: Words) -> str:
    """``full body``, ``upper body`` or ``face``; '' = not told."""
    said = (name for name, known in words.framings.items() if caption.says(known))
    return next(said, "")


def _framing(captions: Sequence[Caption], words: Words, policy: Policy) -> Iterator[Finding]:
    """The mix of framings (D1.3), of the pictures that tell it."""
    told = Counter(filter(None, (framing_of(each, words) for each in captions)))
    whole = told.total()
    if whole < policy.fewest_images:
        return
    target = {
        "full body": policy.framing_full_body,
        "upper body": policy.framing_upper_body,
        "face": policy.framing_face,
    }
    mix = ", ".join(f"{told[name] / whole:.0%} {name}" for name in target)
    aim = ", ".join(f"{share:.0%} {name}" for name, share in target.items())
    gap = {name: told[name] / whole - share for name, share in target.items()}
    # Shares are no exact numbers: a mix that is just within the tolerance is.
    off = {name: over for name, over in gap.items() if abs(over) > policy.framing_tolerance + 1e-9}
    if not off:
        yield Finding("note", "framing-mix", f"The framings are {mix}.")
        return
    sides = {"few": [n for n in off if off[n] < 0], "many": [n for n in off if off[n] > 0]}
    wrong = "; ".join(f"too {word}: {', '.join(those)}" for word, those in sides.items() if those)
    text = f"The framings are {mix}; a LoRA that draws all of them needs about {aim} ({wrong})."
    yield Finding("warn", "framing-mix", text)


def is_sheet_named(caption: Caption) -> bool:
    """Whether a caption says that its picture is a sheet of several views (K5.6)."""
    return caption.says(_words(_SHEETS))
