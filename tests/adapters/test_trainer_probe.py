"""What sd-scripts' own interpreter is asked, with a stand-in for what it imports (K1.3, K1.5)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import pytest

from daemon.adapters import trainer_probe
from daemon.adapters.trainer_probe import Tokenizers, TrainerProbe, rehearsed
from daemon.craft.preflight import Option
from daemon.errors import WorldError
from daemon.ports import TrainerFacts
from tests import needs

pytestmark = pytest.mark.realprocess

TRAIN_NETWORK = """\
import argparse
open("asked", "a").write("x")
print("imported")
def setup_parser():
    made = argparse.ArgumentParser()
    made.add_argument("--sdpa", action="store_true")
    made.add_argument("--network_dim", type=int)
    made.add_argument("--mixed_precision", type=str, choices=["no", "bf16"])
    made.add_argument("--text_encoder_lr", type=float, nargs="*")
    return made
"""
ACCELERATE = """\
from types import SimpleNamespace
class PartialState:
    device = SimpleNamespace(type="mps")
class Accelerator:
    def __init__(self, mixed_precision):
        raise ValueError("bf16 mixed precision requires PyTorch >= 1.10 and a supported device.")
"""
MODULES = {
    "train_network.py": TRAIN_NETWORK,
    "accelerate.py": ACCELERATE,
    "torch.py": "class backends:\n class mps:\n  is_built = staticmethod(lambda: True)\n",
    "library/config_util.py": "class ConfigSanitizer:\n A_SCHEMA = {'image_dir': str}\n",
}
CLIP = "openai_clip-vit-large-patch14"


@dataclass
class Bench:
    """A checkout with a repository's commit, and a studio of nobody's beside it."""

    root: Path
    python: str = sys.executable
    tokenizers: Tokenizers = field(init=False)

    def __post_init__(self) -> None:
        self.tokenizers = Tokenizers(ours=self.root / "ours")
        for name, text in MODULES.items():
            self.write(name, text)

    @property
    def checkout(self) -> Path:
        return self.root / "sd-scripts"

    @property
    def asked(self) -> int:
        """How often the trainer was imported."""
        told = self.checkout / "asked"
        return len(told.read_text()) if told.exists() else 0

    def write(self, name: str, text: str) -> None:
        path = self.checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def probe(self) -> TrainerProbe:
        return TrainerProbe(
            checkout=self.checkout,
            python=self.python,
            environment={"HOME": str(self.root)},
            cache=self.root / "trainer.json",
            tokenizers=self.tokenizers,
        )

    def facts(self) -> TrainerFacts:
        return self.probe().facts()

    def tokenizer(self, folder: Path, length: int = 77) -> None:
        folder.mkdir(parents=True)
        (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": length}))
        for name in ("vocab.json", "merges.txt", "special_tokens_map.json"):
            (folder / name).write_text(name)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def committed(folder: Path) -> str:
    """Everything in the folder as one commit of a new repository; its name."""
    git = [needs.program("git"), "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *command], check=True)
    shown = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return shown.stdout.strip()


def test_a_trainer_tells_what_it_is_and_what_it_can_do(bench: Bench) -> None:
    """K1.3, K1.5, K1.6: device, precision and options by its own libraries, versions as they are
    installed.
    """
    found = bench.facts()
    assert (found.name, found.commit, found.python) == ("sd-scripts", "", sys.version.split()[0])
    assert found.packages["safetensors"] == metadata.version("safetensors")
    assert (found.device, found.built, found.bf16, found.unknown) == ("mps", True, False, "")
    assert found.options["sdpa"] == Option("switch")
    assert found.options["network_dim"] == Option("value", "int")
    assert found.options["mixed_precision"] == Option("value", "str", ("no", "bf16"))
    assert found.options["text_encoder_lr"] == Option("list", "float")
    assert found.dataset_keys == {"image_dir"}
    assert bench.facts().commit == ""
    commit = committed(bench.checkout)
    assert bench.facts().commit == commit


def test_the_commit_of_a_repository_around_the_checkout_is_not_its_own(bench: Bench) -> None:
    assert committed(bench.root)
    assert bench.facts().commit == ""


def test_it_is_asked_once_until_something_of_it_changes(bench: Bench) -> None:
    """By this daemon and by the next; a damaged cache costs a question."""
    first = bench.probe()
    assert first.facts() == first.facts() == bench.facts()
    assert bench.asked == 1
    (bench.root / "trainer.json").write_bytes(b"[[")
    bench.facts()
    assert bench.asked == 2
    os.utime(bench.checkout / "train_network.py", (1, 1))
    first.facts()
    assert bench.asked == 3


def test_one_that_cannot_load_itself_says_what_it_lacks(bench: Bench) -> None:
    """And is asked again each time, for it may have been mended."""
    bench.write("torch.py", "import nowhere_at_all")
    with pytest.raises(WorldError, match=r"nowhere_at_all.*requirements\.txt") as unfit:
        bench.facts()
    assert unfit.value.code == "TRAINER_UNFIT"
    bench.write("torch.py", MODULES["torch.py"])
    assert bench.facts().device == "mps"


def test_what_was_not_answered_in_time_is_unknown_and_not_asked_again_by_this_daemon(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_probe, "_ABILITIES_S", 0.2)
    bench.write("torch.py", "import time; time.sleep(60)")
    probe = bench.probe()
    found = probe.facts()
    assert (found.device, found.options) == ("", {})
    assert "not known: no answer in time" in found.unknown
    assert probe.facts() == found
    assert not (bench.root / "trainer.json").exists()


def test_a_trainer_that_is_not_there_is_named_with_the_remedy(bench: Bench) -> None:
    bench.python = str(bench.root / "nowhere")
    with pytest.raises(WorldError, match=r"interpreter .*nowhere"):
        bench.facts()
    bench.python = sys.executable
    (bench.checkout / "train_network.py").unlink()
    with pytest.raises(WorldError, match=r"train_network\.py.*SD_SCRIPTS_PATH") as missing:
        bench.facts()
    assert missing.value.code == "TRAINER_MISSING"


def test_a_tokenizer_is_that_of_the_settings_or_a_copy_of_comfyuis_or_the_hubs(
    bench: Bench,
) -> None:
    """ComfyUI says 8192 tokens there, with which the trainer would end at its first step."""
    named, ours, comfyui = (bench.root / name for name in ("named", "ours", "ComfyUI"))
    assert bench.facts().tokenizer is None
    hub = bench.root / ".cache/huggingface/hub/models--openai--clip-vit-large-patch14"
    bench.tokenizer(hub / "snapshots" / "32bd64")
    assert bench.facts().tokenizer == ""
    bench.tokenizer(comfyui / "comfy" / "sd1_tokenizer", length=8192)
    bench.tokenizers = Tokenizers(str(named), str(comfyui), ours)
    assert bench.facts().tokenizer == str(ours)
    told = json.loads((ours / CLIP / "tokenizer_config.json").read_text())
    assert told == {"model_max_length": 77}
    assert (ours / CLIP / "vocab.json").read_text() == "vocab.json"
    bench.tokenizer(named / CLIP, length=8192)
    assert bench.facts().tokenizer == str(ours)
    (named / CLIP / "tokenizer_config.json").write_text('{"model_max_length": 77}')
    assert bench.facts().tokenizer == str(named)


def test_the_rehearsal_answers_as_a_mac_does() -> None:
    found = rehearsed()
    assert (found.name, found.device, found.bf16) == ("rehearsal", "mps", False)
    assert found.options["mixed_precision"] == Option("value", "str", ("no", "fp16", "bf16"))
    assert found.options["sdpa"] == Option("switch")
    assert "image_dir" in found.dataset_keys
