"""Craft room: a training's dataset -> what is to be said of it before a night is spent on it.

Law: what would make the night worthless refuses, and ``force`` turns that into a warning; what
makes the LoRA worse warns; a share or a number is a note.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from daemon.core.policy import Policy
from daemon.craft.captions import Caption, Words, caption_findings, is_sheet_named
from daemon.craft.clip_tokens import ClipTokens
from daemon.craft.findings import Finding, Severity, about, worst_first
from daemon.craft.picture import distance
from daemon.craft.trigger import trigger_findings

# Of 64 places of a perceptual hash: the same picture to a person.
_SAME_PLACES = 4
# What is smaller in both directions is no drawing.
_LEAST_SIDE = 64
# What the trainer works in: a smaller picture is enlarged (K4.2).
_SMALL_SIDE = 512
# The trainer's buckets have sides of 256 to 1024 pixels: what is longer than 4 to 1 is cut.
_LONGEST = 4
_GREY = ("1", "L", "LA")
_SYNTHETIC = frozenset({"gemini", "panel", "synthetic", "generated", "midjourney", "dalle"})
_CROPS = frozenset({"crop"})
_SHEETS = ("sheet", "turnaround", "reference")


@dataclass(frozen=True, slots=True)
class PixelFacts:
    """A training picture as its file has it. Sides in pixels before any turning; ``orientation`` is
    EXIF's 1..8 (1 = upright), ``alpha``: some of it is really transparent.
    """

    width: int
    height: int
    mode: str
    format: str
    alpha: bool
    orientation: int
    frames: int
    perceptual_hash: str

    @property
    def shorter(self) -> int:
        """Its shorter side."""
        return min(self.width, self.height)


_OF_A_FILE: Sequence[tuple[Severity, str, Callable[[PixelFacts], bool], str]] = (
    (
        "refuse",
        "picture-dot",
        lambda it: it.shorter < _LEAST_SIDE,
        f"a side has less than {_LEAST_SIDE} pixels; there is nothing to learn from it.",
    ),
    (
        "warn",
        "picture-small",
        lambda it: _LEAST_SIDE <= it.shorter < _SMALL_SIDE,
        f"a side has less than {_SMALL_SIDE} pixels: it is enlarged, and the blur learnt too.",
    ),
    (
        "warn",
        "picture-narrow",
        lambda it: max(it.width, it.height) > _LONGEST * it.shorter,
        f"it is longer than {_LONGEST} to 1, and the trainer cuts its ends off. Crop it yourself.",
    ),
    (
        "refuse",
        "picture-turned",
        lambda it: it.orientation != 1,
        "its EXIF data says that it is to be turned, and the trainer does not. Save it upright.",
    ),
    (
        "refuse",
        "picture-mode",
        lambda it: it.mode.startswith(("I", "F")),
        "it has more than 8 bits a channel, which the trainer clips to white. Save it with 8 bits.",
    ),
    (
        "warn",
        "picture-cmyk",
        lambda it: it.mode in ("CMYK", "LAB", "YCbCr", "HSV"),
        "its colours are for print, and come out otherwise in RGB. Save it as RGB.",
    ),
    (
        "warn",
        "picture-alpha",
        lambda it: it.alpha,
        "what lies beneath its transparent parts is learnt. Lay it on a plain background.",
    ),
    (
        "warn",
        "picture-frames",
        lambda it: it.frames > 1,
        "it is animated, and only the first frame is learnt. Save that one.",
    ),
)


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a dataset with its caption file's whole text. ``source`` '' = not told;
    ``unreviewed``: a program wrote the caption, and nobody has read it.
    """

    name: str
    caption: str
    pixels: PixelFacts
    source: str = ""
    unreviewed: bool = False

    @property
    def said(self) -> Caption:
        """Its caption."""
        return Caption(self.name, self.caption)


@dataclass(frozen=True, slots=True)
class Aim:
    """What the dataset is for; ``trigger`` '' = not known, and then neither are the last two.

    ``regularization``: how many pictures of the class are shown beside; ``exposures``: how often a
    picture of the dataset is shown in one epoch, all together.
    """

    trigger: str = ""
    features: tuple[str, ...] = ()
    force: bool = False
    regularization: int = 0
    exposures: int = 0


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words of captions, and CLIP's tokens; None: no vocabulary of CLIP is at hand."""

    words: Words = field(default_factory=Words)
    tokens: ClipTokens | None = None


def lint(
    pictures: Sequence[Picture], aim: Aim, policy: Policy, known: Vocabulary, *, unseen: int = 0
) -> Sequence[Finding]:
    """Whatever there is to say, the worst first. ``unseen`` more pictures could not be looked
    at."""
    found = [
        *(trigger_findings(aim.trigger, known.tokens) if aim.trigger else ()),
        *_files(pictures),
        *_count(pictures, unseen, policy),
        *caption_findings(
            [each.said for each in pictures],
            trigger=aim.trigger,
            features=aim.features,
            words=known.words,
            tokens=known.tokens,
            policy=policy,
        ),
        *_sheets(pictures),
        *_sources(pictures),
        *(_beside(aim, policy) if aim.exposures else ()),
    ]
    if aim.force:
        found = [replace(e, severity="warn") if e.severity == "refuse" else e for e in found]
    return worst_first(found)


def distinct(pictures: Sequence[Picture]) -> Sequence[Sequence[Picture]]:
    """The pictures, those together that look the same to a person (K4.4)."""
    groups: list[list[Picture]] = []
    for each in pictures:
        own = each.pixels.perceptual_hash
        for group in groups:
            if distance(group[0].pixels.perceptual_hash, own) <= _SAME_PLACES:
                group.append(each)
                break
        else:
            groups.append([each])
    return groups


def _files(pictures: Sequence[Picture]) -> Iterator[Finding]:
    """What the trainer would make of each file (facts 10.3)."""
    for severity, code, is_so, text in _OF_A_FILE:
        yield from about(severity, code, [e.name for e in pictures if is_so(e.pixels)], text)
    coloured = any(each.pixels.mode not in _GREY for each in pictures)
    unsaid = [e.name for e in pictures if e.pixels.mode in _GREY and not _says_grey(e)]
    text = "grey among coloured ones; say monochrome in the caption, or colours will fade."
    yield from about("warn", "picture-grey", unsaid if coloured else (), text)


def _says_grey(picture: Picture) -> bool:
    words = ("monochrome", "greyscale", "grayscale", "black and white", "lineart", "sketch")
    return picture.said.says(words)


def _count(pictures: Sequence[Picture], unseen: int, policy: Policy) -> Iterator[Finding]:
    """How many there are, those that look the same counted once (K4.1, K4.4)."""
    groups = distinct(pictures)
    for group in groups:
        if len(group) > 1:
            names = [each.name for each in group]
            text = "these look the same, and count as one picture. Keep the best."
            yield from about("warn", "near-duplicates", names, text)
    counted, whole = len(groups) + unseen, len(pictures) + unseen
    once = f" (of {whole}, those that look the same counted once)" if counted < whole else ""
    if counted < policy.fewest_images:
        text = (
            f"{counted} pictures{once}: from fewer than {policy.fewest_images} a LoRA learns the "
            "pictures and not the character (overfit). Add some, or write force = true."
        )
        yield Finding("refuse", "images-few", text)
    elif counted < policy.few_images:
        text = (
            f"{counted} pictures{once} are few: the LoRA will know these and little else. "
            f"{policy.few_images} to {policy.enough_images} are usual."
        )
        yield Finding("warn", "images-few", text)


def _sheets(pictures: Sequence[Picture]) -> Iterator[Finding]:
    """A sheet learnt as one figure teaches that the character is several (K5.6)."""
    sheets = [
        each.name
        for each in pictures
        if each.source not in _CROPS
        and any(word in f"{each.name} {each.source}".casefold() for word in _SHEETS)
        and not is_sheet_named(each.said)
    ]
    text = (
        'this seems to be a reference sheet. Begin its tags with "character sheet, multiple views"'
        " after the trigger, or cut it: nightpress dataset crop."
    )
    yield from about("refuse", "sheet-unnamed", sheets, text)


def _sources(pictures: Sequence[Picture]) -> Iterator[Finding]:
    """Where they are from (K4.3, K4.4, D1.2), and captions that nobody has read (K5.5)."""
    unread = [each.name for each in pictures if each.unreviewed]
    text = (
        "a program wrote the caption. Read it, correct it, and set reviewed = true in sources.toml,"
        " or write force = true."
    )
    yield from about("refuse", "caption-unreviewed", unread, text)
    told = Counter(each.source for each in pictures if each.source)
    if not told:
        return
    shares = ", ".join(f"{count} {source}" for source, count in sorted(told.items()))
    made = sum(count for source, count in told.items() if source in _SYNTHETIC)
    crops = sum(count for source, count in told.items() if source in _CROPS)
    text = f"Of {len(pictures)} pictures: {shares}."
    if crops and not made:
        text += " Beside crops of one sheet, 10 to 15 generated pictures in other poses are usual."
    yield Finding("note", "sources", text)


def _beside(aim: Aim, policy: Policy) -> Iterator[Finding]:
    """Whether its kind is shown beside the character (D3)."""
    count, low, high = (
        aim.regularization,
        policy.fewest_regularization,
        policy.most_regularization,
    )
    if not count:
        text = (
            "There is no [regularization], so the character may come to stand for all of its kind. "
            f"Ask for count = {low} to {high} pictures of the class, drawn without a LoRA."
        )
        yield Finding("warn", "regularization-absent", text)
        return
    used = min(count, aim.exposures)
    if not low <= count <= high:
        text = f"{count} regularization pictures; {low} to {high} are usual."
        yield Finding("warn", "regularization-count", text)
    text = f"Of {count} regularization pictures {used} are used."
    if low < count and used < count:
        text += f" Drawing the rest is time lost: write count = {max(low, used)}."
        yield Finding("warn", "regularization-unused", text)
    else:
        yield Finding("note", "regularization-used", text)
