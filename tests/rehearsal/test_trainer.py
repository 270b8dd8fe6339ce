"""Laws of the rehearsal's trainer as a process: what it says and leaves, beside recorded runs."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.process import until
from tests.rehearsal.trainer_stage import BAR, Run, Stage, recorded, recordings

pytestmark = pytest.mark.realprocess

_DATASETS = {
    "ds_basic": {"repeats": 3, "reg": 1},
    "ds_small": {"repeats": 1},
    "ds_b2": {"repeats": 2, "batch": 2},
}


_FIRST = {
    "f0": "f0-first",
    "f0e": "f0e-first-epochs",
    "f0g": "f0g-first-accum",
    "f0m": "f0m-first",
}


@pytest.fixture(scope="module")
def first_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs that others resume; the real ones were killed after the states that are used."""
    stage = Stage(tmp_path_factory.mktemp("first") / "stage")
    for name, out in _FIRST.items():
        real = recorded(name)
        stage.dataset(**_DATASETS[real.dataset])
        run = stage.run(*real.arguments, out=out)
        assert set(real.run.files) <= set(run.files)
        assert run.bars[: len(real.run.bars)] == real.run.bars
    half = stage.root / "half-state"
    (stage.root / "f0-first" / "mylora-step00000004-state").rename(half)
    stage.run(*recorded("f0").arguments, out="f0-first")
    optimizer = half / "optimizer.bin"
    optimizer.write_bytes(optimizer.read_bytes()[:60])
    return stage.root


@pytest.mark.parametrize("name", ["a1", "a6", "a10", *(f"f{number}" for number in range(1, 13))])
def test_it_counts_says_and_leaves_what_the_real_one_did(
    tmp_path: Path, first_runs: Path, name: str
) -> None:
    """Bar, stdout and files, in all the ways in which a resumed run counts."""
    real = recorded(name)
    stage = Stage(tmp_path / "stage")
    stage.dataset(**_DATASETS[real.dataset])
    arguments = [word.replace("/BENCHROOT/sdrun/out", str(first_runs)) for word in real.arguments]
    run = stage.run(*arguments)
    assert (run.returncode, run.bars) == (real.run.returncode, real.run.bars)
    assert run.told == real.run.told
    assert run.files == real.run.files
    places = re.compile(r"\S*/(?:sdrun/out|stage|first\d+)\S*")
    assert places.sub("", run.error)[:50] == places.sub("", real.run.error)[:50]


def test_one_expression_reads_every_bar_of_ours_and_of_the_real_one(tmp_path: Path) -> None:
    """Of each step there are two pieces, the first with the loss before it."""
    real = [piece for path in recordings().glob("*.jsonl") for piece in _steps(_recorded(path))]
    run = Stage(tmp_path / "stage").run("--max_train_epochs", "3", "--save_every_n_epochs", "1")
    ours = _steps(run)
    assert [piece for piece in [*real, *ours] if not BAR.match(piece)] == []
    assert (len(real) > 500, len(ours)) == (True, 1 + 2 * 12 + 1)
    assert run.err.rstrip(" \n").endswith("]")
    assert re.search(r"avr_loss=[\d.]+\]( {20}|[-\d]{10} [:\d]{8} )INFO     model saved\.", run.err)
    losses = [float(found[1]) for found in re.finditer(r"avr_loss=([\d.]+)\]", run.err)]
    assert 0.1 < losses[0] < 0.3


def _recorded(path: Path) -> Run:
    return recorded(path.stem.partition("-")[0]).run


def _steps(run: Run) -> list[str]:
    return [piece for piece in run.pieces if piece.startswith("steps:")]


_BASE = "checkpoints/base.safetensors"
_ARGUMENTS: Mapping[str, str] = {
    "e9": "--use_8bit_adam=False",
    "e10": "--no_xformers",
    "e11": "--optimizer_type=AdamW8bit",
    "e12": "--xformers",
    "e14": "--config_file=nope.toml",
    "e23": "--resume=nope-state",
    "e29": "--mixed_precision=fp8",
    "e31": "--persistent_data_loader_workers",
}
_EDITS: Mapping[str, tuple[str, str, str]] = {
    "e1": ("dataset.toml", "/img", "/nope"),
    "e5": ("config.toml", "base.safetensors", "nope.safetensors"),
    "e8": (_BASE, "model.diffusion_model", "other.diffusion_model"),
    "e15": ("dataset.toml", "num_repeats", 'flavour = "sweet"\nnum_repeats'),
    "e19": ("config.toml", "[network]", "no_such_key = 1\n[network]"),
    "e20": ("dataset.toml", "/img", "/empty"),
    "e21": ("config.toml", 'network_module = "networks.lora"', ""),
    "e22": ("config.toml", "[network]", "[network"),
    "e24": ("config.toml", "= 1e-4", '= "1e-4"'),
    "e25": ("config.toml", "[network]", "resolution = 64\n[network]"),
    "e32": ("dataset.toml", "min_bucket_reso = 64", "min_bucket_reso = 128"),
}
# Cut to so many bytes, filled with others, or taken away.
_FILES: Mapping[str, tuple[str, int | bytes | None]] = {
    "e3": ("img/n1.png", 3_000),
    "e4": ("img/n1.png", b"not a picture"),
    "e6": (_BASE, 20_000),
    "e7": (_BASE, b"\xff" * 5_000),
    "e26": ("img/n1.txt", None),
    "e36": ("img/n1.txt", 0),
}


@pytest.mark.parametrize("name", sorted([*_ARGUMENTS, *_EDITS, *_FILES]))
def test_it_fails_as_the_real_one_failed(tmp_path: Path, name: str) -> None:
    """Exit status, exception and how far it came are those of the recording."""
    real = recorded(name).run
    stage = Stage(tmp_path / "stage")
    if name in _EDITS:
        stage.edit(*_EDITS[name])
    if name in _FILES:
        _spoil(stage, *_FILES[name])
    run = stage.run("--max_train_steps", "4", *filter(None, [_ARGUMENTS.get(name)]))
    assert run.returncode == real.returncode
    assert bool(run.files) == bool(real.files)
    for told in ("accelerator device", "import network module", "prepare opt", "running training"):
        assert (told in run.out) == (told in real.out)
    assert ("No data found." in run.err) == ("No data found." in real.err)
    assert run.error.partition(":")[0] == real.error.partition(":")[0]
    if run.returncode == 2:
        assert run.err.startswith("usage: train_network.py")
        assert run.err.splitlines()[-1] == real.err.splitlines()[-1]


def _spoil(stage: Stage, name: str, what: int | bytes | None) -> None:
    path = stage.root / name
    match what:
        case None:
            path.unlink()
        case int():
            path.write_bytes(path.read_bytes()[:what])
        case _:
            path.write_bytes(what)


def test_a_truncated_picture_is_found_at_once_where_latents_are_cached(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "stage")
    _spoil(stage, *_FILES["e3"])
    late = stage.run("--max_train_steps", "8")
    early = stage.run("--max_train_steps", "8", "--cache_latents")
    assert early.error == late.error
    assert early.error.startswith("OSError: ")
    assert (early.bars, "running training" in early.out) == ([], False)
    # The bar is drawn once more after the traceback, with its newline.
    assert BAR.match(late.pieces[-2])
    assert late.err.index("Traceback") < late.err.rindex("steps:")


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_on_a_mac_there_is_no_mixed_precision(tmp_path: Path, precision: str) -> None:
    """The two messages of accelerate 1.6 on MPS."""
    run = Stage(tmp_path / "stage").run("--mixed_precision", precision)
    assert run.returncode == 1
    assert run.error.startswith(f"ValueError: {precision} mixed precision requires")


def test_resuming_by_epochs_goes_on_where_the_state_was(tmp_path: Path) -> None:
    """K2.5: failed in step 4 and resumed, it ends in the very tensors of an unbroken run."""
    stage = Stage(tmp_path / "stage")
    usual = ["--max_train_epochs", "3", "--save_every_n_epochs", "1", "--save_state"]
    usual += ["--gradient_accumulation_steps", "2"]
    stage.run(*usual, out="whole")
    broken = stage.run(*usual, out="first", rehearsal="step_s=0,start_s=0,fault=exception:4")
    assert broken.returncode == 1
    state = str(stage.root / "first" / "mylora-000001-state")
    run = stage.run(*usual, "--resume", state, "--initial_epoch", "2", out="second")
    assert (run.bars[0][:2], run.bars[-1][:2]) == ((0, 6), (4, 6))
    whole, second = (
        stage.header(f"{out}/mylora.safetensors")["__metadata__"] for out in ("whole", "second")
    )
    assert second["sshs_model_hash"] == whole["sshs_model_hash"]
    assert (second["rehearsal_steps"], second["ss_steps"]) == ("6", "4")
    assert (whole["rehearsal_steps"], whole["ss_steps"]) == ("6", "6")


def test_sigterm_ends_it_without_a_word_and_sigint_with_a_traceback(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "stage")
    for ending, said in ((signal.SIGTERM, False), (signal.SIGINT, True)):
        child = _started(stage, "step_s=0.05,start_s=0")
        child.send_signal(ending)
        assert child.wait(5) == -ending
        run = stage.seen(child.returncode)
        assert ("KeyboardInterrupt" in run.err) == said
        assert (BAR.match(run.pieces[-2]) is not None and run.pieces[-1] == "") == said


def test_stdout_waits_for_a_bar_or_the_end_unless_it_is_told_not_to(tmp_path: Path) -> None:
    """Without PYTHONUNBUFFERED what a killed run had printed is lost."""
    stage = Stage(tmp_path / "stage")
    for env, told in (({}, False), ({"PYTHONUNBUFFERED": "1"}, True)):
        child = _started(stage, "step_s=0.05,start_s=0", env=env)
        child.kill()
        child.wait(5)
        out = stage.seen(0).out
        assert "total optimization steps" in out
        assert ("epoch 1/" in out) == told


def _started(stage: Stage, rehearsal: str, **more: object) -> subprocess.Popen[bytes]:
    """A run that has shown its second step."""
    child = stage.start(*stage.usual("--max_train_steps", "400"), rehearsal=rehearsal, **more)
    until(lambda: (2, 400, True) in stage.seen(0).bars)
    return child


def test_a_reader_that_goes_away_kills_it(tmp_path: Path) -> None:
    """Which is why a trainer's output goes to files."""
    stage = Stage(tmp_path / "stage")
    child = stage.start(*stage.usual(), rehearsal="step_s=0.02,start_s=0", stderr=subprocess.PIPE)
    assert child.stderr is not None
    child.stderr.read(2000)
    child.stderr.close()
    assert child.wait(5) == 1
    assert stage.seen(1).files == []


_EPOCHS = ["--max_train_epochs", "2", "--save_every_n_epochs", "1"]
_SAVED = ["mylora-000001.safetensors", "mylora.safetensors"]


@pytest.mark.parametrize(
    ("fault", "returncode", "files", "said"),
    [
        ("no_data", 0, [], "No data found."),
        ("exception:6", 1, _SAVED[:1], "RuntimeError: the rehearsal was asked to fail in step 6"),
        ("oom:6", 1, _SAVED[:1], "RuntimeError: MPS backend out of memory"),
        ("nan:6", 0, _SAVED, "6/8 [00:00<00:00"),
        ("disk_full_at_save", 1, _SAVED[:1], "StorageFull"),
        ("killed_in_save", -9, _SAVED[:1], "4/8 ["),
        ("truncated_final", 0, _SAVED, "model saved."),
    ],
)
def test_each_fault_has_its_effect(
    tmp_path: Path, fault: str, returncode: int, files: list[str], said: str
) -> None:
    """Every way in which a training goes wrong can be brought about."""
    stage = Stage(tmp_path / "stage")
    run = stage.run(*_EPOCHS, rehearsal=f"step_s=0,start_s=0,fault={fault}")
    assert (run.returncode, run.files) == (returncode, files)
    assert said in run.err
    assert ("avr_loss=nan]" in run.err) == (fault == "nan:6")
    short = {"disk_full_at_save", "killed_in_save", "truncated_final"} & {fault}
    for name in files:
        if short and name == files[-1]:
            with pytest.raises((AssertionError, ValueError)):
                stage.header(f"out/{name}")
        else:
            stage.header(f"out/{name}")


def test_a_hanging_trainer_says_nothing_more_and_lives(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "stage")
    usual = stage.usual("--max_train_steps", "4")
    with stage.start(*usual, rehearsal="step_s=0,start_s=0,fault=hang:3") as child:
        until(lambda: (2, 4, True) in stage.seen(0).bars)
        time.sleep(0.3)
        assert stage.seen(0).bars[-1] == (2, 4, True)
        assert child.poll() is None
        child.kill()


def test_a_slow_start_is_a_silent_one(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "stage")
    with stage.start(*stage.usual(), rehearsal="fault=slow_start:30") as child:
        time.sleep(0.5)
        assert (stage.seen(0).out, stage.seen(0).err) == ("", "")
        child.kill()


def test_a_worker_holds_the_output_after_the_trainer_is_gone(tmp_path: Path) -> None:
    """Death is judged by wait(), never by end-of-file."""
    stage = Stage(tmp_path / "stage")
    usual = stage.usual("--max_train_steps", "1")
    rehearsal = "step_s=0,start_s=0,fault=workers"
    with stage.start(*usual, rehearsal=rehearsal, stdout=subprocess.PIPE) as child:
        assert child.wait(10) == 0
        began_s = time.monotonic()
        assert child.stdout is not None
        child.stdout.read()
        assert 4 < time.monotonic() - began_s < 10


def test_an_unknown_switch_is_answered_with_a_sentence(tmp_path: Path) -> None:
    run = Stage(tmp_path / "stage").run(rehearsal="fault=nonsense")
    assert run.returncode == 2
    assert run.err.startswith("REHEARSAL_TRAINER: 'fault=nonsense' is not known; write")
