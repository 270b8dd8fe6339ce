"""A stage for the rehearsal's trainer: pictures, a base checkpoint, its runs, and recorded runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tests import needs
from tests.rehearsal import props

ROOT = Path(__file__).parents[2]
# Percent, n, total, elapsed, ETA, rate, unit, postfix.
BAR = re.compile(
    r"^steps:\s+(\d+)%\|[^|]*\|\s+(\d+)/(\d+)\s+\[((?:\d+:)?\d+:\d\d)<((?:\d+:)?\d+:\d\d|\?),"
    r"\s+(\?|[\d.]+)(it/s|s/it)(?:, (.*?))?\]"
)
AT_ONCE = "step_s=0,start_s=0"

_CONFIG = """\
pretrained_model_name_or_path = "{root}/checkpoints/base.safetensors"
output_name = "mylora"
[network]
network_module = "networks.lora"
network_dim = 4
network_alpha = 2
[training]
learning_rate = 1e-4
mixed_precision = "no"
save_precision = "fp16"
sdpa = true
max_data_loader_n_workers = 0
seed = 42
"""
_DATASET = """\
[general]
caption_extension = ".txt"
enable_bucket = true
min_bucket_reso = 64
max_bucket_reso = 256
[[datasets]]
resolution = 64
batch_size = {batch}
[[datasets.subsets]]
image_dir = "{root}/img"
num_repeats = {repeats}
"""
_REG = """\
[[datasets.subsets]]
image_dir = "{root}/reg"
is_reg = true
class_tokens = "person"
num_repeats = {repeats}
"""


@dataclass(frozen=True)
class Run:
    """What a run left: exit status, both streams, and the files below its output folder."""

    returncode: int
    out: str
    err: str
    files: list[str]

    @property
    def pieces(self) -> list[str]:
        return re.split("[\r\n]", self.err)

    @property
    def bars(self) -> list[tuple[int, int, bool]]:
        """n, total and whether a loss is shown, of each piece of the training's bar."""
        matches = [BAR.match(piece) for piece in self.pieces]
        return [(int(m[2]), int(m[3]), m[8] is not None) for m in matches if m]

    @property
    def error(self) -> str:
        """The last line at column 0 that names an exception."""
        names = re.findall(r"^(?:[\w.]*\.)?\w+(?:Error|Invalid)(?:: .*)?$", self.err, re.MULTILINE)
        return str(names[-1]) if names else ""

    @property
    def told(self) -> list[str]:
        """The lines of stdout, without the folders and the device of one machine."""
        device = self.out.replace("device: cpu", "device: mps")
        return re.sub(r"(checkpoint: |weights from ).*/", r"\1", device).splitlines()


class Stage:
    """A folder with everything that a training needs; ``out`` is the default output folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder, count in (("img", 4), ("reg", 2)):
            (root / folder).mkdir(parents=True)
            for number in range(count):
                image = Image.effect_noise((64, 64), 60).convert("RGB")
                image.save(root / folder / f"n{number}.png")
                (root / folder / f"n{number}.txt").write_text("sks person, portrait\n")
        (root / "empty").mkdir()
        props.write(root, "checkpoints/base.safetensors")
        self.config = root / "config.toml"
        self.config.write_text(_CONFIG.format(root=root))
        self.dataset()

    def dataset(self, *, batch: int = 1, repeats: int = 1, reg: int = 0) -> None:
        """Writes the dataset config; ``reg``: repeats of the regularisation pictures, if any."""
        text = _DATASET.format(root=self.root, batch=batch, repeats=repeats)
        text += _REG.format(root=self.root, repeats=reg) if reg else ""
        (self.root / "dataset.toml").write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replaces something in a file of the stage, which has to be there."""
        data = (self.root / name).read_bytes()
        assert old.encode() in data
        (self.root / name).write_bytes(data.replace(old.encode(), new.encode()))

    def start(
        self, *arguments: str, rehearsal: str = AT_ONCE, **options: Any
    ) -> subprocess.Popen[bytes]:
        """The process, with its output in files unless ``options`` say otherwise."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment = {**kept, "REHEARSAL_TRAINER": rehearsal, **options.pop("env", {})}
        files = {name: (self.root / name).open("wb") for name in ("stdout", "stderr")}
        try:
            return subprocess.Popen(
                [sys.executable, "-m", "daemon.rehearsal.trainer", *arguments],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                **{**files, **options},
            )
        finally:
            for file in files.values():
                file.close()

    def usual(self, *arguments: str, out: str = "out") -> list[str]:
        """A good command line with the given ones at its end."""
        files = ["--config_file", str(self.config), "--dataset_config"]
        files += [str(self.root / "dataset.toml"), "--output_dir", str(self.root / out)]
        return [*files, *arguments]

    def run(self, *arguments: str, rehearsal: str = AT_ONCE, out: str = "out", **more: Any) -> Run:
        """A whole run with the usual command line."""
        with self.start(*self.usual(*arguments, out=out), rehearsal=rehearsal, **more) as child:
            child.wait(30)
        return self.seen(child.returncode, out)

    def seen(self, returncode: int, out: str = "out") -> Run:
        """What there is to see of a run now."""
        folder = self.root / out
        files = sorted(
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        )
        out, err = (
            (self.root / name).read_bytes().decode("utf-8", "ignore")
            for name in ("stdout", "stderr")
        )
        return Run(returncode, out, err, files)

    def header(self, path: str) -> dict[str, Any]:
        """The header of a safetensors file, once it is known to be whole."""
        data = (self.root / path).read_bytes()
        end = 8 + int.from_bytes(data[:8], "little")
        header: dict[str, Any] = json.loads(data[8:end])
        ends = [value["data_offsets"][1] for key, value in header.items() if key[0] != "_"]
        assert len(data) == end + max(ends)
        return header


@dataclass(frozen=True)
class Recorded:
    """A recorded run and the arguments it was given beyond files, logs and samples."""

    run: Run
    arguments: list[str]
    dataset: str


def recordings() -> Path:
    """The folder of the recorded trainings; skips the test where there is none."""
    folder = Path(os.environ.get("NIGHTPRESS_RECORDINGS") or ROOT.parent / "shared/recordings")
    return needs.file(folder / "sd-scripts")


def recorded(name: str) -> Recorded:
    """The recording whose name starts so."""
    [path] = recordings().glob(f"{name}-*.jsonl")
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    out, err = (
        "".join(row.get("d", "") for row in rows if row.get("s") == stream)
        for stream in ("out", "err")
    )
    files = [name for name in rows[-1]["files"] if name.partition("/")[0] not in ("logs", "sample")]
    run = Run(rows[-1]["returncode"], out, err, sorted(files))
    argv = rows[0]["argv"][2:]
    [dataset] = [Path(word).stem for word in argv if Path(word).stem.startswith("ds_")] or [""]
    return Recorded(run, list(_ours(argv)), dataset)


def _ours(argv: Iterable[str]) -> Iterable[str]:
    dropped = ("--sample_", "--logging_dir", "--config_file", "--dataset_config", "--output_dir")
    keep = True
    for word in argv:
        if word.startswith("--"):
            keep = not word.startswith(dropped)
        if keep:
            yield word
