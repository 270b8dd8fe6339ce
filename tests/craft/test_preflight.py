"""Before a night: what the trainer could not do is said of the machine or of the job's file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import get_args

import pytest

from daemon.core.policy import Policy
from daemon.craft.preflight import Option, TrainerFacts, faults, unfit
from daemon.rehearsal.trainer_options import abilities
from daemon.wire import sd_scripts
from daemon.wire.toml_text import toml_bytes
from daemon.wire.train_file import Curve, TrainFile
from tests.core.asking import TRAIN
from tests.wire.test_sd_scripts import AT

OPTIONS = {
    name: Option(kind, of, tuple(few)) for name, (kind, of, few) in abilities()["options"].items()
}
PACKAGES = {"torch": "2.7.0", "accelerate": "1.6.0", "lion-pytorch": "0.2.3", "prodigyopt": "1.1"}
MAC = TrainerFacts(
    "sd-scripts",
    "48d368fa557731ad0488c07304dfeba8c07910eb",
    "3.11.9",
    PACKAGES,
    device="mps",
    built=True,
    macos="15.1",
    options=OPTIONS,
    dataset_keys=frozenset(abilities()["dataset_keys"]),
)
CONFIG = sd_scripts.config_document(
    TRAIN, AT, name="spyke_v1", attempt=1, done_epochs=2, probe_steps=0
)
DATASET = sd_scripts.dataset_document(TRAIN, AT, Policy())
OPTIMIZERS = get_args(TrainFile.model_fields["optimizer"].annotation)
CURVES = get_args(Curve)


def why(facts: TrainerFacts, config: bytes = CONFIG, dataset: bytes = DATASET) -> str:
    return unfit(facts, config=config, dataset=dataset)


def test_a_mac_with_mps_and_a_tokenizer_is_fit() -> None:
    """K1.3"""
    assert why(MAC) == ""
    assert not faults(TRAIN, MAC)


@pytest.mark.parametrize(
    ("built", "said"), [(True, "finds no Metal GPU"), (False, "was built without MPS")]
)
def test_a_mac_that_would_train_on_its_cpu_is_refused(built: bool, said: str) -> None:
    """K1.3: it would take days. A machine that is no Mac has nothing better, and may."""
    cpu = replace(MAC, device="cpu", built=built)
    assert said in why(cpu)
    assert "torch 2.7.0, accelerate 1.6.0" in why(cpu)
    assert why(replace(cpu, macos="")) == ""


def test_what_could_not_be_found_out_stops_nothing() -> None:
    blind = TrainerFacts("sd-scripts", "", "3.11.9", {}, unknown="No answer in time.")
    spec = replace(TRAIN, mixed_precision="bf16", optimizer="Lion")
    assert why(blind, b"[a]\nnonsense = 1\n") == ""
    assert not faults(spec, blind)


def test_without_a_tokenizer_nothing_is_begun_that_would_fail_offline() -> None:
    """facts, 2: the trainer's own error names nothing that helps."""
    assert "comfy/sd1_tokenizer" in why(replace(MAC, tokenizer=None))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("no_xformers", True, "no_xformers (no option)"),
        ("learning_rate", "1e-4", "learning_rate (not '1e-4')"),
        ("resolution", 512, "resolution (not 512)"),
        ("sdpa", "true", "sdpa (not 'true')"),
        ("network_dim", 16.5, "network_dim (not 16.5)"),
        ("network_dim", True, "network_dim (not True)"),
        ("optimizer_args", "weight_decay=0.1", "optimizer_args (not 'weight_decay=0.1')"),
        ("mixed_precision", "fp8", "mixed_precision (not 'fp8')"),
    ],
)
def test_a_document_that_the_trainer_would_misread_is_found_in_its_own_option_list(
    key: str, value: bool | int | float | str, said: str
) -> None:
    """facts, 2 and 7: from a file it takes any key and any type, and fails late or not at all."""
    wrong = toml_bytes({}, [("learning", {key: value})])
    assert said in why(MAC, wrong)
    assert "at 48d368fa5577" in why(MAC, wrong)
    assert why(replace(MAC, options={}), wrong) == ""


def test_a_key_that_the_trainers_schema_lacks_is_found() -> None:
    """facts, 10.2"""
    assert "is_reg" not in why(MAC)
    older = replace(MAC, dataset_keys=MAC.dataset_keys - {"enable_bucket"})
    assert "enable_bucket (no key)" in why(older)


@pytest.mark.parametrize(
    ("change", "facts", "code", "said"),
    [
        ({"optimizer": "Lion"}, {"packages": {"torch": "2"}}, "TRAINER_PACKAGE", "lion-pytorch"),
        (
            {"optimizer": "Prodigy", "learning_rate": 1.0},
            {"packages": {"torch": "2"}},
            "TRAINER_PACKAGE",
            "prodigyopt",
        ),
        ({"mixed_precision": "bf16"}, {}, "PRECISION", "no bf16 on mps here (torch 2.7.0"),
        ({"lr_scheduler": "adafactor"}, {}, "TRAINER_DOCUMENTS", "AdaFactor's own"),
        ({"learning_rate": 0.1}, {}, "TRAINER_DOCUMENTS", "With 0.1 AdamW diverges"),
    ],
)
def test_what_the_trainer_would_refuse_late_of_a_job_is_refused_with_what_to_write(
    change: Mapping[str, object], facts: Mapping[str, object], code: str, said: str
) -> None:
    """K1.2, K1.5; facts, 6 and 9."""
    seen = replace(MAC, **facts)  # type: ignore[arg-type]
    spec = replace(TRAIN, **change)  # type: ignore[arg-type]
    [fault] = faults(spec, seen)
    assert (fault.code, fault.key) == (code, next(iter(change)))
    assert said in fault.text
    assert "Write " in fault.text


def test_a_rate_at_which_prodigy_learns_nothing_is_refused_though_no_trainer_answers() -> None:
    spec = replace(TRAIN, optimizer="Prodigy")
    [fault] = faults(spec, None)
    assert (fault.key, "learning_rate = 1.0" in fault.text) == ("learning_rate", True)
    assert not faults(replace(spec, learning_rate=1.0), None)


def test_bf16_is_taken_where_the_trainers_own_libraries_take_it() -> None:
    """K1.5, W5"""
    spec = replace(TRAIN, mixed_precision="bf16")
    assert not faults(spec, replace(MAC, bf16=True))
    assert not faults(spec, replace(MAC, device="cpu", macos="", bf16=True))


@pytest.mark.parametrize(("optimizer", "curve"), [*product(OPTIMIZERS, CURVES)])
def test_no_file_that_passes_asks_for_what_fails_late(optimizer: str, curve: str) -> None:
    """K1.2, K1.5; facts, 6 and 7: the rules by which real runs were seen to end after hours."""
    rate = 1.0 if optimizer == "Prodigy" else 1e-4
    spec = replace(TRAIN, optimizer=optimizer, lr_scheduler=curve, learning_rate=rate)
    if faults(spec, MAC):
        assert (curve, optimizer != "AdaFactor") == ("adafactor", True)
        return
    text = sd_scripts.config_document(
        spec, AT, name="spyke_v1", attempt=1, done_epochs=0, probe_steps=0
    )
    assert why(MAC, text) == ""
    found: dict[str, object] = {}
    for table in tomllib.loads(text.decode()).values():
        found |= table
    assert str(found["network_module"]).startswith("networks.")
    assert not found.get("lr_warmup_steps", 0)
    assert "8bit" not in optimizer.lower()
    late = ("persistent_data_loader_workers", "xformers", "color_aug", "random_crop", "full_bf16")
    assert not found.keys() & {*late, "validation_split", "caption_extention", "max_token_length"}
