"""Rehearsal room: the trainer, ``python -m daemon.rehearsal.trainer``, in sd-scripts' stead.

Law: to what nightpress asks of ``train_network.py`` (commit 48d368f, on a Mac) its output, files,
exit statuses and numbering are those of the real one; only the learning is left out.
REHEARSAL_TRAINER sets speed and faults (``trainer_options``).
"""

import argparse
import atexit
import hashlib
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from daemon.rehearsal import weights
from daemon.rehearsal.trainer_files import Folder, Lora, load_state
from daemon.rehearsal.trainer_options import Dataset, Play, read_dataset, read_options, read_play
from daemon.rehearsal.trainer_output import Bar, tell

_NO_DATA = (
    "No data found. Please verify arguments (train_data_dir must be the parent of folders with"
    " images) / 画像がありません。"
)


def main(argv: Sequence[str]) -> int:
    """Trains, or fails as the real one fails. Returns the exit status."""
    try:
        play = read_play(os.environ.get("REHEARSAL_TRAINER", ""))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    time.sleep(play.start_s)
    options = read_options(argv)
    dataset = read_dataset(Path(options.dataset_config))
    tell(f"{len(dataset.pictures)} train images with repeats.")
    if not dataset.pictures or "no_data" in play.faults:
        tell(_NO_DATA, "ERROR")
        return 0
    if "workers" in play.faults:
        _leave_a_worker()
    _prepare(options, dataset)
    Training(options, dataset, play).run()
    return 0


def _leave_a_worker() -> None:
    """A child that keeps the trainer's output open until 5 s after the trainer is gone."""
    waits = "import os, time\nwhile os.getppid() == %d: time.sleep(0.05)\ntime.sleep(5)"
    subprocess.Popen([sys.executable, "-I", "-S", "-c", waits % os.getpid()])


def _prepare(options: argparse.Namespace, dataset: Dataset) -> None:
    """Everything up to the optimizer, with what can be refused on the way."""
    if options.mixed_precision == "fp16":
        raise ValueError("fp16 mixed precision requires a GPU (not 'mps').")
    if options.mixed_precision == "bf16":
        raise ValueError("bf16 mixed precision requires PyTorch >= 1.10 and a supported device.")
    print("accelerator device: mps")
    _load_models(options)
    print(f"import network module: {options.network_module}")
    if options.cache_latents:
        tell("caching latents...")
        for path in sorted(set(dataset.pictures)):
            with Image.open(path) as image:
                image.load()
    tell(f"create LoRA network. base dim (rank): {options.network_dim}")
    print("prepare optimizer, data loader etc.")
    tell(f"use {options.optimizer_type} optimizer | {{}}")


def _load_models(options: argparse.Namespace) -> None:
    name = options.pretrained_model_name_or_path
    if not Path(name).is_file():
        raise ValueError(
            f'The provided pretrained_model_name_or_path "{name}" is neither a valid local path'
            " nor a valid repo id. Please check the parameter."
        )
    tell(f"load StableDiffusion checkpoint: {name}")
    if not weights.is_checkpoint(weights.read_header(Path(name))):
        raise KeyError("time_embed.0.weight")
    if options.vae:
        weights.read_header(Path(options.vae))


class Training:
    """One run: the loop over epochs and batches, and what it saves on the way."""

    def __init__(self, options: argparse.Namespace, dataset: Dataset, play: Play) -> None:
        self._options = options
        self._dataset = dataset
        self._play = play
        self._folder = Folder(options, play)
        self._batches = math.ceil(len(dataset.pictures) / dataset.batch_size)
        self._an_epoch = math.ceil(self._batches / options.gradient_accumulation_steps)
        # Optimizer steps taken in all runs, and in this one; the losses of its batches.
        self._taken = 0
        self._step = 0
        self._losses: list[float] = []

    def run(self) -> None:
        """Trains to the last epoch or step and saves the final file."""
        options = self._options
        if options.max_train_epochs is not None:
            options.max_train_steps = options.max_train_epochs * self._an_epoch
            told = f"override steps. steps for {options.max_train_epochs} epochs is"
            print(f"{told} / 指定エポックまでのステップ数: {options.max_train_steps}")
        self._epochs = math.ceil(options.max_train_steps / self._an_epoch)
        first = self._resume()
        self._bar = Bar(options.max_train_steps)
        # At the very end, so that a traceback comes before it, as with the real one.
        atexit.register(self._bar.close)
        for epoch in range(first // self._an_epoch, self._epochs):
            print(f"\nepoch {epoch + 1}/{self._epochs}\n")
            self._train_epoch(epoch)
        if options.save_state:
            self._save_state(options.output_name, self._epochs)
        self._save(options.output_name, self._epochs)
        tell("model saved.")

    def _resume(self) -> int:
        """The step in whose epoch this run begins; the trap: it counts its own steps from 0."""
        options, first = self._options, 0
        if options.resume:
            first, self._taken = load_state(Path(options.resume))
        self._announce()
        if options.initial_epoch is not None:
            first = (options.initial_epoch - 1) * self._an_epoch
        last = options.max_train_steps
        assert last > first, (
            f"max_train_steps should be greater than initial step: {last} vs {first}"
        )
        return int(first)

    def _announce(self) -> None:
        every = self._options.gradient_accumulation_steps
        print("running training / 学習開始")
        for text, value in (
            (
                "num train images * repeats / 学習画像の数×繰り返し回数:",
                len(self._dataset.pictures),
            ),
            ("num validation images * repeats / 学習画像の数×繰り返し回数:", 0),
            ("num reg images / 正則化画像の数:", 0),
            ("num batches per epoch / 1epochのバッチ数:", self._batches),
            ("num epochs / epoch数:", self._epochs),
            ("batch size per device / バッチサイズ:", self._dataset.batch_size),
            ("gradient accumulation steps / 勾配を合計するステップ数 =", every),
            ("total optimization steps / 学習ステップ数:", self._options.max_train_steps),
        ):
            print(f"  {text} {value}")

    def _train_epoch(self, epoch: int) -> None:
        options, every = self._options, self._options.gradient_accumulation_steps
        for batch in range(1, self._batches + 1):
            time.sleep(self._play.step_s / every)
            if batch % every == 0 or batch == self._batches:
                self._take_step(epoch)
            self._losses.append(self._loss())
            self._bar.show(avr_loss=sum(self._losses) / len(self._losses))
            if self._step >= options.max_train_steps:
                break
        number, often = epoch + 1, options.save_every_n_epochs
        if number < self._epochs and often and number % often == 0:
            self._save(f"{options.output_name}-{number:06d}", number)
            if options.save_state:
                self._save_state(f"{options.output_name}-{number:06d}", number)
            if kept := options.save_last_n_epochs_state:
                self._folder.remove_state(f"{options.output_name}-{number - often * kept:06d}")

    def _take_step(self, epoch: int) -> None:
        options = self._options
        self._taken += 1
        if self._play.faults.get("exception") == self._taken:
            raise RuntimeError(f"the rehearsal was asked to fail in step {self._taken}")
        self._step += 1
        self._bar.update()
        if options.save_every_n_steps and self._step % options.save_every_n_steps == 0:
            stem = f"{options.output_name}-step{self._step:08d}"
            self._save(stem, epoch)
            if options.save_state:
                # A step's file tells the epoch from 0, its state from 1.
                self._save_state(stem, epoch + 1)

    def _loss(self) -> float:
        if self._taken >= self._play.faults.get("nan", math.inf):
            return math.nan
        drawn = hashlib.sha256(f"{self._options.seed}:{self._taken}".encode()).digest()
        return 0.08 + 0.12 * math.exp(-self._taken / 300) + 0.06 * (drawn[0] / 255 - 0.5)

    def _lora(self) -> Lora:
        options, nan = self._options, math.isnan(sum(self._losses))
        rank, alpha = options.network_dim, options.network_alpha
        return Lora(rank=rank, alpha=alpha, seed=options.seed, steps=self._taken, nan=nan)

    def _save_state(self, stem: str, epoch: int) -> None:
        self._folder.save_state(stem, self._lora(), epoch=epoch, step=self._step)

    def _save(self, stem: str, epoch: int) -> None:
        options = self._options
        values = {
            "rehearsal": "true",
            "rehearsal_steps": self._taken,
            "modelspec.architecture": "stable-diffusion-v1/lora",
            "modelspec.title": options.output_name,
            "ss_epoch": epoch,
            "ss_network_alpha": options.network_alpha,
            "ss_network_dim": options.network_dim,
            "ss_num_epochs": self._epochs,
            "ss_num_train_images": len(self._dataset.pictures),
            "ss_seed": options.seed,
            "ss_steps": self._step,
            "ss_training_comment": options.training_comment,
        }
        metadata = {key: str(value) for key, value in values.items()}
        self._folder.save(stem, self._lora(), metadata)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
