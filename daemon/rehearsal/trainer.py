"""Rehearsal room: the trainer, ``python -m daemon.rehearsal.trainer``, in sd-scripts' stead.

Law: arguments, output, files, exit statuses and the traps of resuming are those of
``train_network.py`` (commit 48d368f) on a Mac; only the learning is left out, and with it samples,
event files and cached latents. REHEARSAL_TRAINER sets speed and faults (``trainer_options``).
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

from daemon.rehearsal import weights
from daemon.rehearsal.trainer_dataset import Dataset, read_dataset
from daemon.rehearsal.trainer_files import Folder, Weights, check, load_state, modules
from daemon.rehearsal.trainer_options import (
    TABLE,
    Rehearsal,
    read_options,
    read_rehearsal,
    start_of,
)
from daemon.rehearsal.trainer_output import Bar, Console

_NO_DATA = (
    "No data found. Please verify arguments (train_data_dir must be the parent of folders with"
    " images) / 画像がありません。"
)
_OOM = (
    "MPS backend out of memory (MPS allocated: 17.21 GB, other allocations: 812.00 MB, max allowed:"
    " 18.13 GB). Tried to allocate 256.00 MB on private pool. Use"
    " PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0 to disable upper limit for memory allocations"
)


def main(argv: Sequence[str]) -> int:
    """Trains, or fails as the real one fails. Returns the exit status."""
    try:
        play = read_rehearsal(os.environ.get("REHEARSAL_TRAINER", ""))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    time.sleep(play.start_s + play.faults.get("slow_start", 0))
    console = Console()
    options = read_options(argv, console)
    console.info("Using v1 tokenizer", "strategy_sd.py:26")
    dataset = read_dataset(options, console)
    if not dataset.buckets or "no_data" in play.faults:
        console.error(_NO_DATA, "train_network.py:576")
        return 0
    if "workers" in play.faults:
        _leave_a_worker()
    prepare(options, dataset, console)
    Training(options, dataset, play, console).run()
    return 0


def prepare(options: argparse.Namespace, dataset: Dataset, console: Console) -> None:
    """Everything up to the optimizer, with all that can be refused on the way."""
    console.info("preparing accelerator", "train_network.py:593")
    if options.mixed_precision == "fp16":
        raise ValueError("fp16 mixed precision requires a GPU (not 'mps').")
    if options.mixed_precision == "bf16":
        raise ValueError("bf16 mixed precision requires PyTorch >= 1.10 and a supported device.")
    print("accelerator device: mps")
    _load_models(options, console)
    if options.xformers:
        raise ImportError("No xformers / xformersがインストールされていないようです")
    if options.sdpa:
        console.info("Enable SDPA for U-Net", "train_util.py:3375")
    print(f"import network module: {options.network_module}")
    # Without a module this is the real one's AttributeError.
    options.network_module.startswith(".")
    if options.cache_latents or options.cache_latents_to_disk:
        console.info("caching latents...", "train_util.py:1170")
        images = sorted({path for _, inside in dataset.buckets for path in inside})
        bar = Bar(len(images))
        dataset.load(images, console)
        bar.close(len(images))
    _make_network(options, console)


def _make_network(options: argparse.Namespace, console: Console) -> None:
    rank, alpha = options.network_dim or 4, options.network_alpha
    message = f"create LoRA network. base dim (rank): {rank}, alpha: {alpha}"
    console.info(message, "lora.py:935")
    console.info("create LoRA for Text Encoder: 72 modules.", "lora.py:1035")
    console.info("create LoRA for U-Net: 192 modules.", "lora.py:1043")
    if options.network_weights:
        check(Path(options.network_weights))
        told = f"load network weights from {options.network_weights}"
        print(f"{told}: <All keys matched successfully>")
    print("prepare optimizer, data loader etc.")
    kind = "AdamW8bit" if options.use_8bit_adam else options.optimizer_type or "AdamW"
    if "8bit" in kind.lower():
        raise ImportError("No bitsandbytes / bitsandbytesがインストールされていないようです")
    console.info(f"use {kind} optimizer | {{}}", "train_util.py:5096")
    # A rate that is no number fails here, as it does in the real optimizer.
    if options.learning_rate < 0.0:
        raise ValueError(f"Invalid learning rate: {options.learning_rate}")
    if options.persistent_data_loader_workers and not options.max_data_loader_n_workers:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _load_models(options: argparse.Namespace, console: Console) -> None:
    name = options.pretrained_model_name_or_path
    if not Path(name).is_file():
        raise ValueError(
            f'The provided pretrained_model_name_or_path "{name}" is neither a valid local path'
            " nor a valid repo id. Please check the parameter."
        )
    console.info(f"load StableDiffusion checkpoint: {name}", "train_util.py:5530")
    if not weights.is_checkpoint(check(Path(name))):
        raise KeyError("time_embed.0.weight")
    if options.vae:
        check(Path(options.vae))
    for part, line in (("u-net", 1011), ("vae", 1019), ("text encoder", 1076)):
        console.info(f"loading {part}: <All keys matched successfully>", f"model_util.py:{line}")


def _leave_a_worker() -> None:
    """A child that keeps the trainer's output open until 5 s after the trainer is gone."""
    waits = "import os, time\nwhile os.getppid() == %d: time.sleep(0.05)\ntime.sleep(5)"
    subprocess.Popen([sys.executable, "-I", "-S", "-c", waits % os.getpid()])


class Training:
    """One run: the loop over epochs and batches, and what it saves on the way."""

    def __init__(
        self, options: argparse.Namespace, dataset: Dataset, play: Rehearsal, console: Console
    ) -> None:
        self._options = options
        self._dataset = dataset
        self._play = play
        self._console = console
        self._folder = Folder(options, play, console)
        self._seed = int.from_bytes(os.urandom(4)) if options.seed is None else options.seed
        self._batches = len(dataset.batches(seed=0, epoch=0))
        self._an_epoch = math.ceil(self._batches / options.gradient_accumulation_steps)
        # Optimizer steps taken in all runs, the count of this run, and recent losses by batch.
        self._taken = 0
        self._step = 0
        self._losses: list[float] = []
        self._total = 0.0
        self._started_at = time.time()

    def run(self) -> None:
        """Trains to the last epoch or step and saves the final file."""
        options, console = self._options, self._console
        if options.max_train_epochs is not None:
            options.max_train_steps = options.max_train_epochs * self._an_epoch
            told = f"override steps. steps for {options.max_train_epochs} epochs is"
            print(f"{told} / 指定エポックまでのステップ数: {options.max_train_steps}")
        self._epochs = math.ceil(options.max_train_steps / self._an_epoch)
        if options.save_n_epoch_ratio:
            options.save_every_n_epochs = self._epochs // options.save_n_epoch_ratio or 1
        state_step = 0
        if options.resume:
            state_step, self._taken = load_state(Path(options.resume), console)
        self._announce()
        start = start_of(options, self._batches, state_step, console)
        self._step = start.step
        console.info("unet dtype: torch.float32, device: mps:0", "train_network.py:1347")
        message = "text_encoder [0] dtype: torch.float32, device: mps:0"
        console.info(message, "train_network.py:1353")
        self._bar = Bar(start.total, "steps")
        # At the very end, so that a traceback comes before it, as with the real one.
        atexit.register(self._bar.close)
        for epoch in range(start.epoch, self._epochs):
            print(f"\nepoch {epoch + 1}/{self._epochs}\n")
            before = epoch if epoch > start.epoch else 0
            message = f"epoch is incremented. current_epoch: {before}, epoch: {epoch + 1}"
            console.info(message, "train_util.py:784")
            self._train_epoch(epoch, skipped=start.skipped if epoch == start.epoch else 0)
        if options.save_state or options.save_state_on_train_end:
            self._save_state("last", 0, self._epochs)
        self._folder.save("last", 0, self._weights(), self._metadata(self._epochs))
        console.info("model saved.", "train_network.py:1729")

    def _announce(self) -> None:
        sizes = ", ".join(map(str, self._dataset.batch_sizes))
        print("running training / 学習開始")
        for text, value in (
            ("num train images * repeats / 学習画像の数×繰り返し回数:", self._dataset.train_images),
            ("num validation images * repeats / 学習画像の数×繰り返し回数:", 0),
            ("num reg images / 正則化画像の数:", self._dataset.reg_images),
            ("num batches per epoch / 1epochのバッチ数:", self._batches),
            ("num epochs / epoch数:", self._epochs),
            ("batch size per device / バッチサイズ:", sizes),
            (
                "gradient accumulation steps / 勾配を合計するステップ数 =",
                self._options.gradient_accumulation_steps,
            ),
            ("total optimization steps / 学習ステップ数:", self._options.max_train_steps),
        ):
            print(f"  {text} {value}")

    def _train_epoch(self, epoch: int, *, skipped: int) -> None:
        every = self._options.gradient_accumulation_steps
        batches = self._dataset.batches(seed=self._seed, epoch=epoch)[skipped:]
        for index, images in enumerate(batches, start=1):
            self._dataset.load(images, self._console)
            time.sleep(self._play.step_s / every)
            if index % every == 0 or index == len(batches):
                self._take_step(epoch)
            # The real loop counts one batch more than it trains where it skips into an epoch.
            self._record(self._loss(epoch, index), epoch, index if skipped else index - 1)
            self._bar.show(avr_loss=self._total / len(self._losses))
            if self._step >= self._options.max_train_steps:
                break
        if epoch + 1 < self._epochs:
            self._save_at("epoch", epoch + 1, epoch + 1, epoch + 1)

    def _take_step(self, epoch: int) -> None:
        faults = self._play.faults
        self._taken += 1
        if faults.get("exception") == self._taken:
            raise RuntimeError(f"the rehearsal was asked to fail in step {self._taken}")
        if faults.get("oom") == self._taken:
            raise RuntimeError(_OOM)
        while faults.get("hang") == self._taken:
            time.sleep(1)
        self._step += 1
        self._bar.update()
        # A step's file tells the epoch from 0, its state from 1.
        self._save_at("step", self._step, epoch, epoch + 1)

    def _save_at(self, kind: str, number: int, file_epoch: int, state_epoch: int) -> None:
        every = getattr(self._options, f"save_every_n_{kind}s")
        if every and number % every == 0:
            self._folder.save(kind, number, self._weights(), self._metadata(file_epoch))
            if self._options.save_state:
                self._save_state(kind, number, state_epoch)
            self._folder.rotate(kind, number, every)

    def _save_state(self, kind: str, number: int, epoch: int) -> None:
        lora = self._weights()
        self._folder.save_state(kind, number, lora, epoch=epoch, step=self._step)

    def _loss(self, epoch: int, index: int) -> float:
        if self._taken >= self._play.faults.get("nan", math.inf):
            return math.nan
        drawn = hashlib.sha256(f"{self._seed}:{epoch}:{index}".encode()).digest()
        noise = drawn[0] / 255 - 0.5
        return 0.08 + 0.12 * math.exp(-self._taken / 300) + 0.06 * noise

    def _record(self, loss: float, epoch: int, at: int) -> None:
        """The running mean over an epoch: it grows in the first, then each slot is replaced."""
        if epoch == 0:
            at = len(self._losses)
        self._losses += [0.0] * (at + 1 - len(self._losses))
        # Subtracting the old loss keeps a NaN for ever, as in the real one.
        self._total += loss - self._losses[at]
        self._losses[at] = loss

    def _weights(self) -> Weights:
        options = self._options
        names = modules(
            text_encoder=not options.network_train_unet_only,
            unet=not options.network_train_text_encoder_only,
        )
        nan = math.isnan(self._total)
        rank, alpha = options.network_dim or 4, options.network_alpha
        return Weights(names, rank, alpha, self._seed, self._taken, nan)

    def _metadata(self, epoch: int) -> dict[str, str]:
        options, dataset = self._options, self._dataset
        values = {
            "rehearsal": "true",
            "rehearsal_steps": self._taken,
            "modelspec.sai_model_spec": "1.0.1",
            "modelspec.architecture": "stable-diffusion-v1/lora",
            "modelspec.implementation": "diffusers",
            "modelspec.implementation_version": "sd-scripts/rehearsal",
            "modelspec.title": options.metadata_title or options.output_name,
            "modelspec.date": time.strftime("%Y-%m-%dT%H:%M:%S"),
            "modelspec.resolution": "512x512",
            "modelspec.prediction_type": "epsilon",
            "ss_base_model_version": "sd_v1",
            "ss_epoch": epoch,
            "ss_network_dim": options.network_dim or 4,
            "ss_num_batches_per_epoch": self._batches,
            "ss_num_epochs": self._epochs,
            "ss_num_reg_images": dataset.reg_images,
            "ss_num_train_images": dataset.train_images,
            "ss_optimizer": "torch.optim.adamw.AdamW",
            "ss_sd_model_name": Path(options.pretrained_model_name_or_path).name,
            "ss_sd_scripts_commit_hash": "rehearsal",
            "ss_steps": self._step,
            "ss_training_finished_at": time.time(),
            "ss_training_started_at": self._started_at,
            "ss_v2": False,
        }
        recorded = {f"ss_{name}": getattr(options, name) for name in TABLE["recorded"]}
        return {key: str(value) for key, value in {**values, **recorded}.items()}


if __name__ == "__main__":
    try:
        status = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads any more; the interpreter's own status for that would be 120.
        os._exit(1)
    sys.exit(status)
