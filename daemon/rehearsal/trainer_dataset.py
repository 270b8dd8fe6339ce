"""Rehearsal room: the trainer's pictures, found, counted and refused as sd-scripts does it."""

import argparse
import hashlib
from collections import ChainMap, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from daemon.rehearsal.trainer_options import TABLE, read_toml
from daemon.rehearsal.trainer_output import Bar, Console

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "bool": bool,
    "float": float,
    "int": int,
    "list": list,
    "number": (int, float),
    "size": (int, list),
    "str": str,
    "table": dict,
}


class MultipleInvalid(Exception):
    """A dataset config with a key or a type that is not allowed, under its real name."""

    __module__ = "voluptuous.error"


@dataclass(slots=True)
class Dataset:
    """What was found. ``train_images`` with repeats; ``reg_images`` before they are cycled."""

    batch_sizes: list[int] = field(default_factory=list)
    train_images: int = 0
    reg_images: int = 0
    # Batch size and the pictures of one bucket, each as often as it is repeated.
    buckets: list[tuple[int, list[Path]]] = field(default_factory=list)
    _loaded: set[Path] = field(default_factory=set)

    def batches(self, *, seed: int, epoch: int) -> list[list[Path]]:
        """The batches of an epoch; their order follows from the seed."""
        found = []
        for size, images in self.buckets:
            order = sorted(range(len(images)), key=lambda at: _shuffled(seed, epoch, at))
            shuffled = [images[at] for at in order]
            found += [shuffled[at : at + size] for at in range(0, len(shuffled), size)]
        return found

    def load(self, images: Iterable[Path], console: Console) -> None:
        """Decodes pictures that were not decoded before; raises what Pillow raises."""
        for path in images:
            if path in self._loaded:
                continue
            try:
                with Image.open(path) as image:
                    image.load()
            except OSError:
                console.error(f"Error loading file: {path}", "train_util.py:2960")
                raise
            self._loaded.add(path)


def read_dataset(options: argparse.Namespace, console: Console) -> Dataset:
    """Finds the pictures that ``--dataset_config`` names.

    Raises MultipleInvalid, AssertionError (empty caption, no resolution) or ZeroDivisionError (a
    file that is no picture). A missing or empty folder leaves a Dataset without batches.
    """
    # A resolution that is no string fails here, whatever the dataset config says.
    given = options.resolution and [int(side) for side in options.resolution.split(",")]
    asked = vars(options) | {
        "batch_size": options.train_batch_size,
        "num_repeats": options.dataset_repeats or 1,
        "resolution": given,
    }
    if options.dataset_config:
        console.info(
            f"Loading dataset config from {options.dataset_config}", "train_network.py:519"
        )
        document = read_toml(Path(options.dataset_config))
        try:
            _validate(document)
        except MultipleInvalid:
            console.error("Invalid user config", "config_util.py:375")
            raise
    else:
        # The naming of folders below --train_data_dir is not rehearsed: nothing is found there.
        console.info("Using DreamBooth method.", "train_network.py:530")
        document = {"datasets": [{}]}
    dataset = Dataset()
    for number, table in enumerate(document.get("datasets", [])):
        levels: ChainMap[str, Any] = ChainMap(table, document.get("general", {}), asked)
        assert levels["resolution"] is not None, "resolution is required"
        _add(dataset, number, levels, console)
    return dataset


def _validate(document: Mapping[str, Any]) -> None:
    _check(document, ["dataset config"], "")
    _check(document.get("general", {}), ["in any dataset", "in any subset"], "['general']")
    for i, table in enumerate(document.get("datasets", [])):
        at = f"['datasets'][{i}]"
        _check(table, ["in a dataset", "in any dataset", "in any subset"], at)
        for k, subset in enumerate(table.get("subsets", [])):
            _check(subset, ["in a subset", "in any subset"], f"{at}['subsets'][{k}]")
            if "image_dir" not in subset:
                raise MultipleInvalid(
                    f"required key not provided @ data{at}['subsets'][{k}]['image_dir']"
                )


def _check(table: Mapping[str, Any], groups: Iterable[str], at: str) -> None:
    allowed = ChainMap(*(TABLE[group] for group in groups))
    for key, value in table.items():
        if key not in allowed:
            raise MultipleInvalid(f"extra keys not allowed @ data{at}[{key!r}]")
        if not isinstance(value, _KINDS[allowed[key]]):
            raise MultipleInvalid(f"expected {allowed[key]} @ data{at}[{key!r}]")


def _add(dataset: Dataset, number: int, levels: ChainMap[str, Any], console: Console) -> None:
    console.info("prepare images.", "train_util.py:2112")
    counts: dict[bool, list[tuple[Path, int]]] = {False: [], True: []}
    for subset in levels.get("subsets", []):
        wanted = levels.new_child(subset)
        images = [(path, wanted["num_repeats"]) for path in _images(wanted, console)]
        counts[bool(subset.get("is_reg"))] += images
    train, reg = (sum(repeats for _, repeats in counts[is_reg]) for is_reg in (False, True))
    console.info(f"{train} train images with repeats.", "train_util.py:2158")
    console.info(f"{reg} reg images with repeats.", "train_util.py:2162")
    if not reg:
        console.warning("no regularization images", "train_util.py:2167")
    elif reg > train:
        console.warning("some of reg images are not used", "train_util.py:2164")
    _tell(number, levels, console)
    dataset.train_images += train
    dataset.reg_images += reg
    dataset.batch_sizes.append(levels["batch_size"])
    used = [path for path, repeats in counts[False] for _ in range(repeats)]
    _sort_into_buckets(dataset, [*used, *_cycled(counts[True], train)], levels, console)


def _images(wanted: Mapping[str, Any], console: Console) -> list[Path]:
    folder = Path(wanted["image_dir"])
    if not folder.is_dir():
        console.warning(f"not directory: {folder}", "train_util.py:1974")
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    images = [p for p in found if p.suffix in _SUFFIXES or p.suffix.lower() in _SUFFIXES]
    if not images:
        reason = f"ignore subset with image_dir='{folder}': no images found"
        console.warning(reason, "train_util.py:2132")
        return []
    message = f"found directory {folder} contains {len(images)} image files"
    console.info(message, "train_util.py:2059")
    bar = Bar(len(images), "read caption")
    extension = "." + wanted["caption_extension"].removeprefix(".")
    for image in images:
        caption = image.with_suffix(extension)
        if not caption.exists():
            if not wanted.get("class_tokens"):
                message = "neither caption file nor class tokens are found. use empty caption for"
                console.warning(f"{message} {image}", "train_util.py:2071")
        elif not caption.stat().st_size:
            bar.close()
            raise AssertionError(f"caption file is empty / キャプションファイルが空です: {caption}")
    bar.close(len(images))
    return images


def _cycled(reg: Sequence[tuple[Path, int]], train: int) -> list[Path]:
    """Regularisation pictures, whole at first and then one by one, until they match the others."""
    used: list[Path] = []
    for path, repeats in reg:
        if len(used) < train:
            used += [path] * repeats
    return used + [reg[at % len(reg)][0] for at in range(train - len(used)) if reg]


def _tell(number: int, levels: Mapping[str, Any], console: Console) -> None:
    names = ["batch_size", "resolution", "enable_bucket"]
    if levels["enable_bucket"]:
        names += ["min_bucket_reso", "max_bucket_reso", "bucket_reso_steps", "bucket_no_upscale"]
    lines = [f"  {name}: {levels[name]}" for name in names]
    console.info("\n".join([f"[Dataset {number}]", *lines]), "config_util.py:580")
    console.info(f"[Prepare dataset {number}]", "config_util.py:592")


def _sort_into_buckets(
    dataset: Dataset, images: Sequence[Path], levels: Mapping[str, Any], console: Console
) -> None:
    console.info("loading image sizes.", "train_util.py:992")
    sizes = {path: _size(path, console) for path in images}
    width, height = _pair(levels["resolution"])
    buckets: defaultdict[tuple[int, int], list[Path]] = defaultdict(list)
    if levels["enable_bucket"]:
        console.info("make buckets", "train_util.py:1015")
        low, high = levels["min_bucket_reso"], levels["max_bucket_reso"]
        assert low <= min(width, height), "min_bucket_reso must be less than resolution"
        assert high >= max(width, height), "max_bucket_reso must be greater than resolution"
        allowed = _allowed(width * height, low, high, levels["bucket_reso_steps"])
        for path in images:
            ratio = sizes[path][0] / sizes[path][1]
            buckets[min(allowed, key=lambda size: abs(size[0] / size[1] - ratio))].append(path)
    else:
        console.info("prepare dataset", "train_util.py:1017")
        buckets[width, height] = list(images)
    for index, (size, inside) in enumerate(sorted(buckets.items())):
        if inside:
            message = f"bucket {index}: resolution {size}, count: {len(inside)}"
            console.info(message, "train_util.py:1066")
            dataset.buckets.append((levels["batch_size"], inside))


def _allowed(area: int, low: int, high: int, step: int) -> list[tuple[int, int]]:
    """Sizes in steps, with sides and area within their bounds; for each width the tallest."""
    widths = range(low, high + 1, step)
    sizes = {(width, min(high, area // width // step * step)) for width in widths}
    square = int(area**0.5) // step * step
    return sorted({(square, square)} | {size for size in sizes if size[1] >= low})


def _size(path: Path, console: Console) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.size
    except OSError as error:
        console.warning(f"failed to get image size: {path}, error: {error}", "train_util.py:1489")
        return 0, 0


def _pair(resolution: int | Sequence[int]) -> tuple[int, int]:
    sides = [resolution] if isinstance(resolution, int) else resolution
    return sides[0], sides[-1]


def _shuffled(seed: int, epoch: int, at: int) -> bytes:
    return hashlib.sha256(f"{seed}:{epoch}:{at}".encode()).digest()
