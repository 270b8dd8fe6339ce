"""Spells sd-scripts' documents: what one attempt at a training hands to ``train_network.py``.

Law: the types are exactly those that sd-scripts takes without converting (it checks nothing that
comes from a file), and nothing is left to a default that would train something else. Measured at
commit 48d368fa.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

from daemon.core.jobs import TrainSpec
from daemon.core.policy import Policy
from daemon.wire.toml_text import Section, Table, toml_bytes

CONFIG, DATASET = "config.toml", "dataset.toml"
CAPTION_ENDING = ".txt"
STATES_KEPT = 2
"""How many states the trainer leaves of an attempt: the last, and one should that be damaged."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Absolute paths. ``tokenizer`` '' = the trainer's own cache; ``state`` '' = from the start;
    ``regularization`` is the folder of those pictures, where any are asked for.
    """

    checkpoint: str
    vae: str
    dataset: str
    regularization: str
    output: str
    tokenizer: str
    state: str


def config_document(
    spec: TrainSpec, at: Whereabouts, *, name: str, attempt: int, done_epochs: int, probe_steps: int
) -> bytes:
    """The document for ``--config_file``; ``name`` is the job's and that of its files.

    ``probe_steps``: only so many are made, to see how they go; 0 = all of them.
    """
    sections: list[Section] = [
        ("models", _models(at)),
        ("learning", _learning(spec, probe_steps)),
        ("memory", _memory(spec)),
        ("output", _output(at, name=name, comment=f"{name}, attempt {attempt}")),
    ]
    if at.state:
        sections.append(("resume", {"resume": at.state, "initial_epoch": done_epochs + 1}))
    return toml_bytes({}, sections)


def _models(at: Whereabouts) -> Table:
    # Without a tokenizer the trainer asks the network for one, and fails where it may not.
    tokenizer = {"tokenizer_cache_dir": at.tokenizer} if at.tokenizer else {}
    return {"pretrained_model_name_or_path": at.checkpoint, "vae": at.vae, **tokenizer}


def _learning(spec: TrainSpec, probe_steps: int) -> Table:
    # Where both are given the trainer heeds the epochs.
    length = {"max_train_steps": probe_steps} if probe_steps else {"max_train_epochs": spec.epochs}
    return {
        "network_module": "networks.lora",
        "network_dim": spec.network_dim,
        "network_alpha": float(spec.network_alpha),
        "network_train_unet_only": spec.unet_only,
        "learning_rate": float(spec.learning_rate),
        "optimizer_type": spec.optimizer,
        "lr_scheduler": spec.lr_scheduler,
        **length,
        "gradient_accumulation_steps": spec.gradient_accumulation,
        "seed": spec.seed,
        **({"clip_skip": spec.clip_skip} if spec.clip_skip > 1 else {}),
    }


def _memory(spec: TrainSpec) -> Table:
    return {
        "mixed_precision": spec.mixed_precision,
        "gradient_checkpointing": spec.gradient_checkpointing,
        "sdpa": True,
        "cache_latents": True,
        # Each worker would be one more Python with a copy of everything.
        "max_data_loader_n_workers": 0,
    }


def _output(at: Whereabouts, *, name: str, comment: str) -> Table:
    return {
        "output_dir": at.output,
        "output_name": name,
        "save_model_as": "safetensors",
        "save_precision": "fp16",
        "save_every_n_epochs": 1,
        "save_state": True,
        "save_last_n_epochs_state": STATES_KEPT,
        "training_comment": comment,
        # The picture size in the metadata comes from here, whatever the dataset document says.
        "resolution": "512,512",
        "caption_extension": CAPTION_ENDING,
    }


def dataset_document(spec: TrainSpec, at: Whereabouts, policy: Policy) -> bytes:
    """The document for ``--dataset_config``. Buckets, because without them every picture would
    have to be exactly as large as the resolution.
    """
    dataset = {
        "resolution": policy.training_resolution,
        "batch_size": policy.training_batch,
        "enable_bucket": True,
        "min_bucket_reso": 256,
        "max_bucket_reso": 1024,
        "bucket_reso_steps": 64,
    }
    images = {
        "image_dir": at.dataset,
        "num_repeats": spec.repeats,
        "caption_extension": CAPTION_ENDING,
    }
    subsets: list[Table] = [images]
    if spec.regularization is not None:
        words = spec.regularization.class_tokens
        # As many of them are shown as of the others, whatever their number.
        subsets.append({"image_dir": at.regularization, "is_reg": True, "class_tokens": words})
    return toml_bytes({}, [("datasets", [dataset]), ("datasets.subsets", subsets)])


def done_epochs(config: bytes) -> int:
    """How many epochs were done before the attempt that this config document is of."""
    resume = tomllib.loads(config.decode()).get("resume", {})
    return int(resume.get("initial_epoch", 1)) - 1


def environment(spec: TrainSpec, policy: Policy) -> Mapping[str, str]:
    """What the trainer's environment holds beside the usual (A1.1, W2)."""
    always = {
        "PYTHONUNBUFFERED": "1",  # Else what it said is lost when it is killed.
        "PYTHONIOENCODING": "utf-8",  # launchd gives no locale, and the bar is no ASCII.
        "HF_HUB_OFFLINE": "1",
        "PYTORCH_ENABLE_MPS_FALLBACK": "1",
        "COLUMNS": "240",  # Log lines wrap there and not within a path.
    }
    if not spec.gradient_checkpointing:
        return always
    return {
        **always,
        "PYTORCH_MPS_HIGH_WATERMARK_RATIO": str(policy.mps_high_watermark),
        "PYTORCH_MPS_LOW_WATERMARK_RATIO": str(policy.mps_low_watermark),
    }


def checkpoint_file(name: str, *, epoch: int, epochs: int) -> str:
    """What the trainer calls the checkpoint of an epoch (from 1): the last has no number."""
    return f"{name}.safetensors" if epoch == epochs else f"{name}-{epoch:06d}.safetensors"


def state_folder(name: str, *, epoch: int) -> str:
    """What it calls the state after an epoch that is not the last."""
    return f"{name}-{epoch:06d}-state"
