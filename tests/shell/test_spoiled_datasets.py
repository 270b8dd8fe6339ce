"""Spoiled datasets and documents, each refused or warned of before the GPU is touched; pictures are
decoded by the real worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from random import Random

import pytest
from PIL import Image, ImageDraw

from daemon.adapters.pixels import PictureReader
from daemon.core.commands import Reject, Submit
from daemon.core.jobs import FileFacts
from daemon.core.policy import Policy
from daemon.craft.captions import Words
from daemon.craft.clip_tokens import ClipTokens
from daemon.craft.dataset import PixelFacts, Vocabulary
from daemon.shell.dataset import aside
from daemon.shell.intake import Intake
from tests.craft.test_clip_tokens import MERGES, VOCABULARY
from tests.fakes import MemoryDisk
from tests.sim.engine import SimPixels, SimWeights

SPYKE = "datasets/spyke"
JOB = """\
kind = "train"
lora = "spyke"
trigger = "spyke_plasma_v1"
dataset = "datasets/spyke"
features = ["white cloak", "red bandana"]
checkpoint = "a.safetensors"
vae = "v.safetensors"
steps = 990
regularization = { count = 100, prompt = "a man, full body", class = "man" }
"""
FRAMINGS = ["full body"] * 9 + ["upper body"] * 5 + ["face"] * 4
POSES = ("standing", "running", "sitting", "jumping", "kneeling", "arms crossed", "from behind")
PLACES = ("street", "forest", "night", "rain", "white background")


def drawing(seed: int, size: tuple[int, int] = (512, 640)) -> Image.Image:
    """Large shapes: no two seeds look alike."""
    chance, image = Random(seed), Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    for _ in range(40):
        x, y = chance.randrange(size[0]), chance.randrange(size[1])
        ink = tuple(chance.randrange(256) for _ in range(3))
        pen.rectangle((x, y, x + chance.randrange(20, 300), y + chance.randrange(20, 300)), ink)
    return image


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


GOOD = [saved(drawing(number), compress_level=1) for number in range(18)]
HALF = GOOD[0][: len(GOOD[0]) // 2]
TOKENS = ClipTokens.read(VOCABULARY, MERGES)


@dataclass
class Dataset:
    """A good one, to be spoiled: its files, and the job that asks for it."""

    files: dict[str, bytes] = field(default_factory=dict)
    job: str = JOB

    def __post_init__(self) -> None:
        for number, framing in enumerate(FRAMINGS):
            self.files[f"{number:02}.png"] = GOOD[number]
            pose, place = POSES[number % len(POSES)], PLACES[number % len(PLACES)]
            self.caption(
                number, f"spyke_plasma_v1, white cloak, red bandana, {framing}, {pose}, {place}"
            )

    def caption(self, number: int, text: str | bytes) -> Dataset:
        self.files[f"{number:02}.txt"] = text if isinstance(text, bytes) else f"{text}\n".encode()
        return self

    def captions(self, change: Callable[[str], str]) -> Dataset:
        for number in range(len(FRAMINGS)):
            self.caption(number, change(self.files[f"{number:02}.txt"].decode().strip()))
        return self

    def picture(self, data: bytes, name: str = "00.png") -> Dataset:
        if name != "00.png":
            del self.files["00.png"]
            self.files[f"{name.rpartition('.')[0]}.txt"] = self.files.pop("00.txt")
        self.files[name] = data
        return self

    def keep(self, count: int) -> Dataset:
        for number in range(count, len(FRAMINGS)):
            for ending in ("png", "txt"):
                self.files.pop(f"{number:02}.{ending}", None)
        return self

    def ask(self, old: str, new: str) -> Dataset:
        assert old in self.job
        self.job = self.job.replace(old, new)
        return self

    def sources(self, text: str) -> Dataset:
        self.files["sources.toml"] = text.encode()
        return self


def _exif(turned: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = turned
    return exif


def _gap() -> bytes:
    image = drawing(0).convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 200, 200))
    return saved(image)


def _flip(dataset: Dataset) -> None:
    dataset.files["01.png"] = saved(drawing(0).resize((600, 750)))


def _twelve_alike(dataset: Dataset) -> None:
    for number in range(1, 12):
        dataset.files[f"{number:02}.png"] = saved(drawing(0).resize((512 + 8 * number, 640)))


Spoil = Callable[[Dataset], object]
LONG = ", ".join(f"sp{letter}ke" for letter in "abcdefghijklmnopqrstuvwxyz")

REFUSED: Mapping[str, tuple[Spoil, str]] = {
    "K5.1 no caption": (lambda d: d.files.pop("03.txt"), "03.png has no caption"),
    "K5.1 an empty caption": (lambda d: d.caption(3, b""), "03.png has no caption"),
    "K5.1 a blank caption": (lambda d: d.caption(3, b"  \n"), "03.txt is no caption"),
    "K5.1 nothing in its first line": (lambda d: d.caption(3, b"\nspyke"), "03.txt is no caption"),
    "K5.1 a caption in Latin-1": (lambda d: d.caption(3, b"\xe9p"), "03.txt is no caption"),
    "K5.1 a caption of UTF-16": (lambda d: d.caption(3, "spyke".encode("utf-16")), "no caption"),
    "K5.1 a caption of 100 KB": (lambda d: d.caption(3, b"a" * 100_000), "03.txt is no caption"),
    "K5.1 a byte order mark": (
        lambda d: d.caption(3, b"\xef\xbb\xbfspyke_plasma_v1, face"),
        "byte order mark",
    ),
    "K5.1 .caption": (
        lambda d: d.files.update({"03.caption": d.files.pop("03.txt")}),
        "03.caption is not read. Rename it to 03.txt",
    ),
    "K5.1 .TXT": (
        lambda d: d.files.update({"03.TXT": d.files.pop("03.txt")}),
        "03.TXT is not read. Rename it to 03.txt",
    ),
    "K5.1 .png.txt": (
        lambda d: d.files.update({"03.png.txt": d.files.pop("03.txt")}),
        "03.png.txt is not read",
    ),
    "K5.2 one caption for all": (
        lambda d: d.captions(lambda _: "spyke_plasma_v1, face"),
        "All captions are the same",
    ),
    "K5.2 the trigger alone": (lambda d: d.caption(3, "spyke_plasma_v1"), "the trigger alone"),
    "K5.2 the trigger alone, twice": (
        lambda d: d.caption(3, " Spyke_Plasma_V1 ,"),
        "the trigger alone",
    ),
    "K5.3 no trigger": (
        lambda d: d.caption(3, "white cloak, face, standing, night"),
        "lacks the trigger",
    ),
    "K5.3 half a trigger": (
        lambda d: d.caption(3, "spyke, white cloak, face"),
        "lacks the trigger",
    ),
    "K5.3 another job's trigger": (
        lambda d: d.ask('"spyke_plasma_v1"', '"vex_storm_v1"'),
        "lacks the trigger",
    ),
    "K5.3 a crop's skeleton": (
        lambda d: d.captions(lambda t: t.replace("spyke_plasma_v1", "TRIGGER")),
        "lacks the trigger",
    ),
    "K5.5 a tagger's caption": (
        lambda d: d.sources('"03.png" = { caption = "auto", reviewed = false }'),
        "a program wrote the caption",
    ),
    "K5.5 taggers' captions": (lambda d: d.sources('"03.png" = "auto"'), "a program wrote"),
    "K5.6 a reference sheet": (
        lambda d: d.files.update(
            {"sheet.png": d.files.pop("03.png"), "sheet.txt": d.files.pop("03.txt")}
        ),
        "reference sheet",
    ),
    "K5.6 a sheet by its source": (lambda d: d.sources('"03.png" = "sheet"'), "reference sheet"),
    "K4.1 nine pictures": (lambda d: d.keep(9), "9 pictures: from fewer than 10"),
    "K4.1 three pictures": (lambda d: d.keep(3), "(overfit)"),
    "K4.1 no picture": (lambda d: d.files.clear(), "There is no picture in"),
    "K4.1 another folder": (lambda d: d.ask("datasets/spyke", "datasets/other"), "datasets/other"),
    "K4.4 twelve of one": (_twelve_alike, "7 pictures (of 18, those that look the same"),
    "a truncated PNG": (lambda d: d.picture(HALF), "00.png: The picture is cut short"),
    "a truncated PNG with an end": (
        lambda d: d.picture(HALF + GOOD[0][-12:]),
        "00.png: ",
    ),
    "a truncated JPEG": (
        lambda d: d.picture(saved(drawing(0), "JPEG")[:-9000], "00.jpg"),
        "00.jpg: The picture cannot be decoded",
    ),
    "a truncated WebP": (
        lambda d: d.picture(saved(drawing(0), "WEBP")[:-2000], "00.webp"),
        "00.webp: The picture cannot be decoded",
    ),
    "a text named .png": (
        lambda d: d.picture(b"spyke_plasma_v1, face"),
        "00.png: The picture cannot",
    ),
    "a GIF named .png": (
        lambda d: d.picture(saved(drawing(0), "GIF")),
        "00.png: The picture cannot",
    ),
    "an empty file": (lambda d: d.picture(b""), "00.png has 0 bytes"),
    "a GIF": (lambda d: d.picture(saved(drawing(0), "GIF"), "00.gif"), "the trainer reads no .gif"),
    "a TIFF": (
        lambda d: d.picture(saved(drawing(0), "TIFF"), "00.tif"),
        "the trainer reads no .tif",
    ),
    "an ending of both cases": (lambda d: d.picture(GOOD[0], "00.Png"), "does not see this ending"),
    "two pictures, one caption": (
        lambda d: d.files.update({"03.jpg": GOOD[4]}),
        "share one caption",
    ),
    "a picture of 40 pixels": (
        lambda d: d.picture(saved(drawing(0, (40, 40)))),
        "less than 64 pixels",
    ),
    "a picture lying on its side": (
        lambda d: d.picture(saved(drawing(0), "JPEG", exif=_exif(6)), "00.jpg"),
        "EXIF data",
    ),
    "sixteen bits": (
        lambda d: d.picture(saved(Image.new("I;16", (512, 512), 40_000))),
        "more than 8 bits a channel",
    ),
    "K2.1 a batch": (lambda d: d.ask("steps", "batch_size = 2\nsteps"), "batch is always 1"),
    "K2.2 768 pixels": (lambda d: d.ask("steps", "resolution = 768\nsteps"), "resolution is 512"),
    "K1.2 8-bit Adam": (lambda d: d.ask("steps", 'optimizer = "AdamW8bit"\nsteps'), "AdamW8bit"),
    "K1.5 fp16": (lambda d: d.ask("steps", 'mixed_precision = "fp16"\nsteps'), "mixed_precision"),
    "W21 2000 steps": (lambda d: d.ask("steps = 990", "steps = 2000"), "allow_overfit"),
    "K6.1 a word that the model knows": (
        lambda d: d.ask('"spyke_plasma_v1"', '"spike"').captions(lambda t: f"spike, {t}"),
        "is a word that the model knows",
    ),
    "K6.1 a word like one": (
        lambda d: d.ask('"spyke_plasma_v1"', '"spyke"').captions(lambda t: f"spyke, {t}"),
        'one letter from "spike"',
    ),
}
WARNED: Mapping[str, tuple[Spoil, str]] = {
    "K4.1 twelve pictures": (lambda d: d.keep(12), "12 pictures are few"),
    "K4.1 three pictures, forced": (
        lambda d: d.keep(3).ask("steps", "force = true\nsteps"),
        "3 pictures: from fewer than 10",
    ),
    "K4.2 a small picture": (
        lambda d: d.picture(saved(drawing(0, (400, 600)))),
        "less than 512 pixels",
    ),
    "K4.4 one picture twice": (_flip, "00.png, 01.png: these look the same"),
    "K4.5 a feature nowhere": (
        lambda d: d.ask('"red bandana"', '"massive broadsword"'),
        'No caption has the feature "massive broadsword"',
    ),
    "K5.2 two captions alike": (
        lambda d: d.caption(4, d.files["03.txt"]),
        "03.png, 04.png: captions that are the same",
    ),
    "K5.3 no feature": (
        lambda d: d.caption(3, "spyke_plasma_v1, full body, standing, night"),
        "03.png: the caption names no feature",
    ),
    "K5.3 no pose": (
        lambda d: d.caption(3, "spyke_plasma_v1, white cloak, full body, night"),
        "03.png: the caption names no pose",
    ),
    "K5.3 no background": (
        lambda d: d.caption(3, "spyke_plasma_v1, white cloak, full body, standing"),
        "03.png: the caption names no background",
    ),
    "K5.3 no framing": (
        lambda d: d.caption(3, "spyke_plasma_v1, white cloak, standing, night"),
        "03.png: the caption names no framing",
    ),
    "K5.4 too long": (
        lambda d: d.caption(3, f"spyke_plasma_v1, white cloak, full body, running, night, {LONG}"),
        "more than 75 CLIP tokens",
    ),
    "K5.1 several lines": (
        lambda d: d.files.update({"03.txt": d.files["03.txt"] + b"a second line"}),
        "the trainer reads the first",
    ),
    "K5.5 a tagger's, forced": (
        lambda d: d.sources('"03.png" = "auto"').ask("steps", "force = true\nsteps"),
        "a program wrote the caption",
    ),
    "K5.7 one background": (
        lambda d: d.captions(lambda t: f"{t}, simple background"),
        '"simple background" is on 18 of 18 pictures: this background will bake in',
    ),
    "K5.7 one pose": (lambda d: d.captions(lambda t: f"{t}, t-pose"), "this pose will bake in"),
    "D1.3 faces only": (
        lambda d: d.captions(lambda t: t.replace("full body", "face")),
        "too few: full body; too many: face",
    ),
    "D3.3 no regularization": (
        lambda d: d.ask(JOB.splitlines()[-1], ""),
        "There is no [regularization]",
    ),
    "D3.2 more regularization than is used": (
        lambda d: d.ask("count = 100", "count = 200"),
        "Of 200 regularization pictures 108 are used",
    ),
    "D3.1 little regularization": (
        lambda d: d.ask("count = 100", "count = 20"),
        "20 regularization pictures; 100 to 200 are usual",
    ),
    "K4.3 a source of no picture": (
        lambda d: d.sources('"3.png" = "crop"'),
        "names what is no picture",
    ),
    "K4.3 a source that says nothing": (lambda d: d.sources('"03.png" = 3'), "says of no picture"),
    "a note beside a picture": (
        lambda d: d.files.update({"03.caption": b"x"}),
        "these are not read",
    ),
    "transparency": (lambda d: d.picture(_gap()), "its transparent parts"),
    "colours for print": (
        lambda d: d.picture(saved(drawing(0).convert("CMYK"), "JPEG"), "00.jpg"),
        "for print",
    ),
    "an animation": (
        lambda d: d.picture(
            saved(drawing(0), "WEBP", save_all=True, append_images=[drawing(99)]), "00.webp"
        ),
        "only the first frame",
    ),
    "one grey picture": (lambda d: d.picture(saved(drawing(0).convert("L"))), "say monochrome"),
    "a long strip": (lambda d: d.picture(saved(drawing(0, (512, 2400)))), "longer than 4 to 1"),
    "K3.4 few steps": (lambda d: d.ask("steps = 990", "steps = 400"), "Fewer than 800 steps"),
    "W21 many steps": (lambda d: d.ask("steps = 990", "steps = 1500"), "More than 1200 steps"),
}


class Eyes(SimPixels):
    """The real worker, asked once of each picture."""

    def __init__(self, reader: PictureReader, seen: dict[bytes, PixelFacts]) -> None:
        self._reader, self._seen = reader, seen

    async def examine(self, data: bytes) -> PixelFacts:
        key = sha256(data).digest()
        if key not in self._seen:
            self._seen[key] = await self._reader.examine(data)
        return self._seen[key]


@pytest.fixture(scope="module")
def seen() -> dict[bytes, PixelFacts]:
    return {}


def judged(
    dataset: Dataset, seen: dict[bytes, PixelFacts]
) -> tuple[Sequence[str], Sequence[str], MemoryDisk]:
    """Why a training of it is refused, what is warned of, and the disk afterwards."""
    disk, data = MemoryDisk(), dataset.job.encode()
    for name, content in dataset.files.items():
        disk.put(f"{SPYKE}/{name}", content)

    async def examined() -> Reject | Submit:
        reader = PictureReader()
        intake = Intake(
            disk,
            Policy(),
            weights=SimWeights(),
            pixels=Eyes(reader, seen),
            known=Vocabulary(Words(), TOKENS),
        )
        try:
            answer = await intake.examine(FileFacts("spyke.toml", "0" * 64, 1, 1, len(data)), data)
        finally:
            await reader.close()
        assert isinstance(answer, Reject | Submit)
        return answer

    answer = asyncio.run(examined())
    if isinstance(answer, Reject):
        return [each.text for each in answer.errors], [], disk
    return [], answer.asked.warnings, disk


def test_there_are_more_than_sixty() -> None:
    assert len(REFUSED) + len(WARNED) >= 60


def test_a_good_dataset_passes_without_a_warning(seen: dict[bytes, PixelFacts]) -> None:
    """K4.1-K4.5, K5.1-K5.7, D1.3, D3.3: its steps and its trigger's split are said."""
    refused, said, disk = judged(Dataset(), seen)
    assert refused == []
    assert sorted(text[:27] for text in said) == [
        "1080 steps: 5 epochs of 216",
        "The model reads the trigger",
    ]
    report = disk.data(f"{aside('0' * 64)}/lint.toml").decode()
    assert "refused = false" in report
    assert 'severity = "warn"' not in report


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_waste_the_night_is_refused(name: str, seen: dict[bytes, PixelFacts]) -> None:
    """K1.2, K1.5, K2.1, K2.2, K4.1, K4.4, K5.1-K5.3, K5.5, K5.6, K6.1: and no copy is left."""
    dataset = Dataset()
    spoil, said = REFUSED[name]
    spoil(dataset)
    refused, _, disk = judged(dataset, seen)
    assert any(said in text for text in refused), refused
    assert disk.files(aside("0" * 64)) == []


@pytest.mark.parametrize("name", WARNED)
def test_what_would_make_it_worse_is_warned_of(name: str, seen: dict[bytes, PixelFacts]) -> None:
    """K3.4, K4.1-K4.5, K5.2-K5.5, K5.7, D1.2, D1.3, D3.1-D3.3"""
    dataset = Dataset()
    spoil, said = WARNED[name]
    spoil(dataset)
    refused, warned, _ = judged(dataset, seen)
    assert refused == []
    assert any(said in text for text in warned), warned
