"""sd-scripts' documents: exactly the types it takes, and nothing left to a default that matters."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.jobs import TrainSpec
from daemon.core.policy import Policy
from daemon.wire import sd_scripts
from tests.core.asking import TRAIN

AT = sd_scripts.Whereabouts(
    checkpoint="/models/checkpoints/a.safetensors",
    vae="/models/vae/v.safetensors",
    dataset="/studio/outbox/spyke_v1/resume/dataset",
    regularization="/studio/outbox/spyke_v1/resume/regularization",
    output="/studio/outbox/spyke_v1/resume/a1/out",
    tokenizer="",
    state="",
)
CUDA_ONLY = ("xformers", "mem_eff_attn", "use_8bit_adam", "fp8_base", "full_fp16", "full_bf16")


def config(
    spec: TrainSpec = TRAIN, at: sd_scripts.Whereabouts = AT, *, done: int = 0, probe: int = 0
) -> dict[str, object]:
    """The options as sd-scripts reads them: all tables merged into one flat set."""
    text = sd_scripts.config_document(
        spec, at, name="spyke_v1", attempt=2, done_epochs=done, probe_steps=probe
    )
    return {
        key: value
        for table in tomllib.loads(text.decode()).values()
        for key, value in table.items()
    }


def test_the_options_have_the_types_that_sd_scripts_takes_unconverted() -> None:
    """K1.2, K2.1, K2.2: no CUDA-only option, batch and size nowhere but in the dataset document."""
    found = config()
    assert found["resolution"] == "512,512"
    assert (found["network_alpha"], type(found["network_alpha"])) == (8.0, float)
    assert (found["learning_rate"], type(found["learning_rate"])) == (1e-4, float)
    assert found["optimizer_type"] == "AdamW"
    assert found["mixed_precision"] == "no"
    assert (found["sdpa"], found["cache_latents"], found["save_state"]) == (True, True, True)
    assert (found["max_train_epochs"], found["save_every_n_epochs"]) == (5, 1)
    assert found["max_data_loader_n_workers"] == 0
    assert found["caption_extension"] == ".txt"
    assert found.keys().isdisjoint((*CUDA_ONLY, "train_batch_size", "max_train_steps"))


@given(st.floats(1e-7, 1e-2), st.floats(0.01, 128))
def test_numbers_stay_numbers_whatever_their_form(rate: float, alpha: float) -> None:
    found = config(replace(TRAIN, learning_rate=rate, network_alpha=alpha))
    assert (found["learning_rate"], found["network_alpha"]) == (rate, alpha)


def test_a_resumed_attempt_names_its_state_and_the_next_epoch() -> None:
    """K2.5: resumed by --initial_epoch, which alone counts right; the epochs asked never change."""
    found = config(at=replace(AT, state="/studio/state"), done=3)
    assert (found["resume"], found["initial_epoch"]) == ("/studio/state", 4)
    assert found["max_train_epochs"] == 5
    assert config().keys().isdisjoint(("resume", "initial_epoch"))


@pytest.mark.parametrize("done", [0, 3])
def test_the_document_tells_how_many_epochs_were_done_before_it(done: int) -> None:
    at = replace(AT, state="/studio/state" if done else "")
    text = sd_scripts.config_document(
        TRAIN, at, name="s_v1", attempt=1, done_epochs=done, probe_steps=0
    )
    assert sd_scripts.done_epochs(text) == done


def test_what_is_not_asked_for_is_not_written() -> None:
    assert config().keys().isdisjoint(("tokenizer_cache_dir", "clip_skip"))
    asked = config(replace(TRAIN, clip_skip=2), replace(AT, tokenizer="/tok"))
    assert (asked["clip_skip"], asked["tokenizer_cache_dir"]) == (2, "/tok")


def test_the_dataset_is_batch_one_at_512_in_buckets_with_txt_captions() -> None:
    """K2.1, K2.2: whatever a job says; buckets never exceed 512 x 512."""
    document = tomllib.loads(sd_scripts.dataset_document(TRAIN, AT, Policy()).decode())
    [dataset] = document["datasets"]
    [images] = dataset.pop("subsets")
    assert (dataset["batch_size"], dataset["resolution"]) == (1, 512)
    assert (dataset["enable_bucket"], dataset["bucket_reso_steps"]) == (True, 64)
    assert dataset["min_bucket_reso"] <= 512 <= dataset["max_bucket_reso"]
    assert images == {
        "image_dir": AT.dataset,
        "num_repeats": 11,
        "caption_extension": ".txt",
    }


def test_a_path_with_quotes_and_umlauts_survives() -> None:
    at = replace(AT, dataset='/Users/spyke/Bücher "neu"\\x/スパイク')
    text = sd_scripts.dataset_document(TRAIN, at, Policy())
    assert tomllib.loads(text.decode())["datasets"][0]["subsets"][0]["image_dir"] == at.dataset


def test_the_environment_is_the_policys() -> None:
    """A1.1, K1.6: MPS falls back always; both watermarks or neither, by gradient checkpointing."""
    found = sd_scripts.environment(TRAIN, Policy())
    assert found["PYTORCH_ENABLE_MPS_FALLBACK"] == "1"
    assert found["PYTHONUNBUFFERED"] == found["HF_HUB_OFFLINE"] == "1"
    assert found["PYTORCH_MPS_HIGH_WATERMARK_RATIO"] == "0.9"
    assert found["PYTORCH_MPS_LOW_WATERMARK_RATIO"] == "0.8"
    plain = sd_scripts.environment(replace(TRAIN, gradient_checkpointing=False), Policy())
    assert [key for key in plain if "WATERMARK" in key] == []
    assert [key for key in found if key.startswith("TQDM")] == []


def test_epochs_have_the_trainers_own_names() -> None:
    assert sd_scripts.checkpoint_file("s_v1", epoch=2, epochs=3) == "s_v1-000002.safetensors"
    assert sd_scripts.checkpoint_file("s_v1", epoch=3, epochs=3) == "s_v1.safetensors"
    assert sd_scripts.state_folder("s_v1", epoch=2) == "s_v1-000002-state"
