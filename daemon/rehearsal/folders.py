"""Rehearsal room: the folders of one server, what is in them, and where a picture is saved.

Its law: a name that came in by the protocol never leads out of the folder it belongs to.
"""

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Model folders in the order of the real listing; a folder may have more than one place on disk.
_PLACES: dict[str, tuple[str, ...]] = {
    "checkpoints": ("checkpoints",),
    "configs": ("configs",),
    "loras": ("loras",),
    "vae": ("vae",),
    "text_encoders": ("text_encoders", "clip"),
    "diffusion_models": ("unet", "diffusion_models"),
    "clip_vision": ("clip_vision",),
    "style_models": ("style_models",),
    "embeddings": ("embeddings",),
    "diffusers": ("diffusers",),
    "vae_approx": ("vae_approx",),
    "controlnet": ("controlnet", "t2i_adapter"),
    "gligen": ("gligen",),
    "upscale_models": ("upscale_models",),
    "custom_nodes": (),
    "hypernetworks": ("hypernetworks",),
    "photomaker": ("photomaker",),
    "classifiers": ("classifiers",),
    "model_patches": ("model_patches",),
    "audio_encoders": ("audio_encoders",),
}
MODEL_FOLDERS: Sequence[str] = tuple(_PLACES)
_MODEL_SUFFIXES = (".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft")
_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
_ALSO_BELOW_OUTPUT = ("checkpoints", "loras", "vae")


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one server. All paths are absolute."""

    base: Path
    output: Path
    input: Path
    temp: Path

    def of_type(self, kind: str) -> Path | None:
        """The folder that the protocol calls ``input``, ``output`` or ``temp``."""
        return {"input": self.input, "output": self.output, "temp": self.temp}.get(kind)

    def model_places(self, folder: str) -> list[Path]:
        """Where models of a folder may lie, in order of precedence."""
        places = [self.base / "models" / place for place in _PLACES[folder]]
        return places + ([self.output / folder] if folder in _ALSO_BELOW_OUTPUT else [])

    def model_names(self, folder: str) -> list[str]:
        """Relative names of the models in a folder, sorted; links are followed."""
        names = {name for place in self.model_places(folder) for name in _walk(place)}
        return sorted(name for name in names if name.lower().endswith(_MODEL_SUFFIXES))

    def vae_names(self) -> list[str]:
        """What VAELoader offers: the files, then the pseudo-VAE that has none."""
        return [*self.model_names("vae"), "pixel_space"]

    def model_path(self, folder: str, name: str) -> Path:
        """The file of a model. Raises FileNotFoundError, in ComfyUI's words, where none is."""
        for place in self.model_places(folder):
            path = place / name
            if path.is_file():
                return path
        raise FileNotFoundError(f"Model in folder '{folder}' with filename '{name}' not found.")

    def input_names(self) -> list[str]:
        """What LoadImage offers: the pictures at the top of the input folder."""
        if not self.input.is_dir():
            return []
        files = (p.name for p in self.input.iterdir() if p.is_file())
        return sorted(name for name in files if name.lower().endswith(_PICTURE_SUFFIXES))

    def input_path(self, annotated: str) -> Path:
        """The file that LoadImage means by ``sub/name.png`` or ``name.png [output]``."""
        match = re.fullmatch(r"(.*) \[(input|output|temp)\]", annotated)
        kind, name = (match[2], match[1]) if match else ("input", annotated)
        folder = self.of_type(kind) or self.input
        return folder / name


def _walk(place: Path) -> list[str]:
    return [
        os.path.relpath(Path(top) / file, place)
        for top, _, files in os.walk(place, followlinks=True)
        for file in files
    ]


def inside(path: Path, folder: Path) -> bool:
    """Whether a path, with its ``..`` resolved, lies in a folder."""
    # Only dots are resolved: links below these folders are followed, as the real server does.
    return Path(os.path.normpath(path)).is_relative_to(folder)


def normal_subfolder(text: str) -> str:
    """A subfolder with its dots resolved; empty for the folder itself."""
    normal = os.path.normpath(text or ".")
    return "" if normal == "." else normal


@dataclass(frozen=True, slots=True)
class SaveSlot:
    """Where the next picture of a prefix goes, as get_save_image_path decides it."""

    folder: Path
    stem: str
    counter: int
    subfolder: str

    def name(self, index: int) -> str:
        """The file name of the picture with this index in its batch."""
        stem = self.stem.replace("%batch_num%", str(index))
        return f"{stem}_{self.counter + index:05}_.png"


def next_slot(prefix: str, output: Path, *, width: int, height: int) -> SaveSlot:
    """The folder, stem and counter for a filename prefix; creates the folder.

    Raises Exception, in ComfyUI's words, for a prefix that leads out of the output folder.
    """
    normal = os.path.normpath(_expand(prefix, width, height))
    subfolder, stem = os.path.split(normal)
    folder = Path(os.path.normpath(output / subfolder))
    if not inside(folder, output):
        common = os.path.commonpath([folder, output])
        raise Exception(  # noqa: TRY002 - the protocol reports exactly this type.
            "**** ERROR: Saving image outside the output folder is not allowed."
            f"\n full_output_folder: {folder}\n         output_dir: {output}"
            f"\n         commonpath: {common}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return SaveSlot(folder, stem, _next_counter(folder, stem), subfolder)


def _expand(prefix: str, width: int, height: int) -> str:
    now = time.localtime()
    tokens: dict[str, Any] = {"width": width, "height": height, "year": now.tm_year}
    padded = {"month": now.tm_mon, "day": now.tm_mday, "hour": now.tm_hour}
    padded |= {"minute": now.tm_min, "second": now.tm_sec}
    tokens |= {name: f"{value:02}" for name, value in padded.items()}
    for token, value in tokens.items():
        prefix = prefix.replace(f"%{token}%", str(value))
    return prefix


def _next_counter(folder: Path, stem: str) -> int:
    # Any file that goes on with digits and an underscore counts, whatever comes after; the
    # highest number decides and holes stay. The batch token is not expanded here, as observed.
    pattern = re.compile(re.escape(stem) + r"_(\d+)_")
    found = (pattern.match(entry.name) for entry in folder.iterdir())
    return 1 + max((int(match[1]) for match in found if match), default=0)
