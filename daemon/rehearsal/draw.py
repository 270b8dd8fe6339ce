"""Rehearsal room: the storyboard frame."""

from dataclasses import dataclass

from PIL import Image, ImageDraw


@dataclass(frozen=True, slots=True)
class Hint:
    image: Image.Image
    model: str
    strength: float
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Shot:
    positive: str
    negative: str
    checkpoint: str
    loras: tuple[tuple[str, float], ...]
    hints: tuple[Hint, ...]
    seed: int
    steps: int
    cfg: float
    sampler: str
    scheduler: str
    denoise: float
    clip_layer: int
    vae: str = ""
    index: int = 0


def draw(shot: Shot, width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (width, height), (200, 200, 200))
    ImageDraw.Draw(image).text((4, 4), shot.positive, (0, 0, 0))
    return image
