"""Rehearsal room: the folders of one server, what is in them, and how a picture is saved there.

Its law: a name that came in by the protocol never leads out of the folder it belongs to.
"""

import io
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from daemon.rehearsal.faults import Faults

# In the order of the real listing.
# fmt: off
MODEL_FOLDERS: Sequence[str] = (
    "checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision",
    "style_models", "embeddings", "diffusers", "vae_approx", "controlnet", "gligen",
    "upscale_models", "custom_nodes", "hypernetworks", "photomaker", "classifiers",
    "model_patches", "audio_encoders",
)
# fmt: on
_MODEL_SUFFIXES = (".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft")
_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
_COMPRESS_LEVEL = 4


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one server, below an absolute one."""

    base: Path

    @property
    def output(self) -> Path:
        """Where pictures are saved."""
        return self.base / "output"

    @property
    def input(self) -> Path:
        """Where uploads go."""
        return self.base / "input"

    @property
    def temp(self) -> Path:
        """Where previews go; emptied at the start and at the end."""
        return self.base / "temp"

    def of_type(self, kind: str) -> Path | None:
        """The folder that the protocol calls ``input``, ``output`` or ``temp``."""
        return self.base / kind if kind in ("input", "output", "temp") else None

    def model_names(self, folder: str) -> list[str]:
        """Relative names of the models in a folder, sorted; links are followed."""
        place = self.base / "models" / folder
        walked = os.walk(place, followlinks=True)
        names = [
            os.path.relpath(Path(top) / name, place) for top, _, names in walked for name in names
        ]
        return sorted(name for name in names if name.lower().endswith(_MODEL_SUFFIXES))

    def model_path(self, folder: str, name: str) -> Path:
        """The file of a model. Raises FileNotFoundError, in ComfyUI's words, where none is."""
        path = self.base / "models" / folder / name
        if not path.is_file():
            raise FileNotFoundError(f"Model in folder '{folder}' with filename '{name}' not found.")
        return path

    def input_names(self) -> list[str]:
        """What LoadImage offers: the pictures at the top of the input folder."""
        names = (path.name for path in self.input.glob("*") if path.is_file())
        return sorted(name for name in names if name.lower().endswith(_PICTURE_SUFFIXES))

    def input_path(self, annotated: str) -> Path:
        """The file that LoadImage means by ``sub/name.png`` or ``name.png [output]``."""
        match = re.fullmatch(r"(.*) \[(input|output|temp)\]", annotated)
        return self.base / match[2] / match[1] if match else self.input / annotated


def inside(path: Path, folder: Path) -> bool:
    """Whether a path, with its ``..`` resolved, lies in a folder."""
    # Only dots are resolved: links below these folders are followed, as the real server does.
    return Path(os.path.normpath(path)).is_relative_to(folder)


def normal_subfolder(text: str) -> str:
    """A subfolder with its dots resolved; empty for the folder itself."""
    normal = os.path.normpath(text or ".")
    return "" if normal == "." else normal


def save_png(
    images: Sequence[Image.Image],
    output: Path,
    prefix: str,
    texts: Mapping[str, Any],
    faults: Faults,
) -> list[dict[str, str]]:
    """Saves a batch under one prefix; gives ``filename`` and ``subfolder`` of each.

    ``texts``: one tEXt chunk a key, its value as JSON. The bytes go straight to the final name,
    as the real server writes them: a crash leaves a file that is cut short. Raises Exception, in
    ComfyUI's words, for a prefix that leads out of the output folder.
    """
    subfolder, stem = os.path.split(os.path.normpath(_expand(prefix, images[0])))
    folder = Path(os.path.normpath(output / subfolder))
    if not inside(folder, output):
        common = os.path.commonpath([folder, output])
        raise Exception(  # noqa: TRY002 - the protocol reports exactly this type.
            "**** ERROR: Saving image outside the output folder is not allowed."
            f"\n full_output_folder: {folder}\n         output_dir: {output}"
            f"\n         commonpath: {common}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    info = PngInfo()
    for key, value in texts.items():
        info.add_text(key, json.dumps(value))
    names, counter = [], _next_counter(folder, stem)
    for index, image in enumerate(images):
        name = f"{stem.replace('%batch_num%', str(index))}_{counter + index:05}_.png"
        buffer = io.BytesIO()
        image.save(buffer, "PNG", pnginfo=info, compress_level=_COMPRESS_LEVEL)
        _write(folder / name, buffer.getvalue(), faults)
        names.append({"filename": name, "subfolder": subfolder})
    return names


def _expand(prefix: str, image: Image.Image) -> str:
    now = time.localtime()
    tokens = {"width": image.width, "height": image.height, "year": now.tm_year}
    padded = {"month": now.tm_mon, "day": now.tm_mday, "hour": now.tm_hour}
    padded |= {"minute": now.tm_min, "second": now.tm_sec}
    texts = {name: str(value) for name, value in tokens.items()}
    texts |= {name: f"{value:02}" for name, value in padded.items()}
    for token, text in texts.items():
        prefix = prefix.replace(f"%{token}%", text)
    return prefix


def _next_counter(folder: Path, stem: str) -> int:
    # Any file that goes on with digits and an underscore counts, whatever comes after; the
    # highest number decides and holes stay. The batch token is not expanded here, as observed.
    pattern = re.compile(re.escape(stem) + r"_(\d+)_")
    found = (pattern.match(entry.name) for entry in folder.iterdir())
    return 1 + max((int(match[1]) for match in found if match), default=0)


def _write(path: Path, whole: bytes, faults: Faults) -> None:
    half = len(whole) // 2
    if faults.dies_at("saving"):
        path.write_bytes(whole[:half])
        faults.die_if("saving")
    path.write_bytes(whole[:half] if faults.take("truncate_output") else whole)
    if faults.take("missing_output"):
        path.unlink()
