"""What the listing of a dataset's folder alone tells: which files are pictures, and which are none.

Law: nothing is opened here. What the trainer would pass over without a word is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from daemon.core.policy import Policy
from daemon.craft.findings import Finding, about
from daemon.ports import FileStat

IMAGE_LIMIT_BYTES = 64 * 2**20
_ENDINGS = ("png", "jpg", "jpeg", "webp", "bmp")
_UNSEEN = ("gif", "tif", "tiff", "heic", "avif", "jxl", "psd")
"""Pictures all the same, which the trainer passes over without a word."""
_TEXTS = ("txt", "caption", "text", "tags", "rtf", "md")
_NAME_CHARS = 100


def pictures_in(entries: Iterable[FileStat]) -> Sequence[FileStat]:
    """The entries that a maker takes for pictures. Hidden files and AppleDouble twins are none."""
    return [
        entry
        for entry in entries
        if not entry.name.startswith(".") and _ending(entry.name).lower() in (*_ENDINGS, *_UNSEEN)
    ]


def caption_of(name: str) -> str:
    """The file that the trainer reads beside a picture."""
    return f"{name.rpartition('.')[0]}.txt"


def folder_findings(
    folder: str, pictures: Sequence[FileStat], entries: Sequence[FileStat], policy: Policy
) -> Iterator[Finding]:
    """All of it, sentences that name the file."""
    if not pictures:
        text = (
            f"There is no picture in {folder}/ (or no such folder). Put png, jpg, webp or bmp"
            " files there, each with a .txt caption beside it; folders below it are not read."
        )
        yield Finding("refuse", "dataset-empty", text)
        return
    if len(pictures) > policy.max_images:
        text = (
            f"{folder}/ has {len(pictures)} pictures; more than {policy.max_images} are no"
            " LoRA's dataset. Choose the best."
        )
        yield Finding("refuse", "images-many", text)
    texts = [e.name for e in entries if e.kind == "file" and _ending(e.name).lower() in _TEXTS]
    captions = {entry.name for entry in entries if entry.kind == "file" and entry.size}
    stems: dict[str, str] = {}
    for picture in pictures:
        name, stem = picture.name, picture.name.rpartition(".")[0]
        if fault := _fault(picture):
            yield Finding("refuse", "picture-file", fault, (name,))
        elif stem in stems:
            text = f"{stems[stem]} and {name} would share one caption. Rename one of them."
            yield Finding("refuse", "caption-shared", text, (name,))
        elif f"{stem}.txt" not in captions:
            yield Finding("refuse", "caption-missing", _no_caption(name, texts), (name,))
        stems[stem] = name
    idle = [name for name in texts if name not in map(caption_of, stems.values())]
    beside = [name for name in idle if name.partition(".")[0] in stems]
    text = "captions are read from files that end in .txt, in small letters; these are not read."
    yield from about("warn", "caption-ending", beside, text)
    rest = [name for name in idle if name not in beside and not name.startswith(".")]
    yield from about("note", "caption-stray", rest, "no picture has this name.")
    below = [e.name for e in entries if e.kind == "folder" and not e.name.startswith(".")]
    yield from about("note", "folder-below", below, "folders in a dataset are not read.")


def _no_caption(name: str, texts: Iterable[str]) -> str:
    wanted = caption_of(name)
    stem = name.rpartition(".")[0].lower()
    near = [each for each in texts if each != wanted and each.lower().startswith(f"{stem}.")]
    if near:
        return f"{name} has no caption: {near[0]} is not read. Rename it to {wanted}."
    return (
        f"{name} has no caption: {wanted} is missing, empty or no plain file. Write one "
        "line into it, the trigger first, then what else is to be seen. Without it the "
        "trainer learns nothing of it."
    )


def _fault(picture: FileStat) -> str:
    """What is wrong with one entry by itself, as a sentence; '' when nothing is."""
    name, ending = picture.name, _ending(picture.name)
    if picture.kind != "file" or picture.busy:
        kind = "a link" if picture.kind == "link" else "no plain file"
        what = "still being copied" if picture.busy else kind
        return f"{name} is {what}. Put the picture itself there."
    if ending.lower() in _UNSEEN:
        return f"{name}: the trainer reads no .{ending.lower()}. Save it as PNG, or move it away."
    if ending not in (ending.lower(), ending.upper()):
        return f"{name}: the trainer does not see this ending. Write it small: .{ending.lower()}"
    if picture.size > IMAGE_LIMIT_BYTES or not picture.size:
        return f"{name} has {picture.size} bytes. Pictures have 1 to {IMAGE_LIMIT_BYTES}."
    if len(name) > _NAME_CHARS or not name.isprintable():
        return f"{name[:40]!r}…: give the picture a plain name of at most {_NAME_CHARS} letters."
    return ""


def _ending(name: str) -> str:
    return name.rpartition(".")[2]
