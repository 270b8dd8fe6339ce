"""Laws of the rehearsal as a process: how it starts, and all the ways in which it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from PIL import Image

from daemon.craft.launch import ENVIRONMENT
from daemon.wire.comfyui_log import Words, read_words
from tests.rehearsal.stand import flat, lay_out_props, txt2img

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.realprocess


@contextmanager
def _process(
    base: Path, *flags: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running server and its address."""
    command = [sys.executable, "-m", "daemon.rehearsal", "--base-directory", str(base), *flags]
    with subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ) as process:
        try:
            assert process.stderr is not None
            told = "Starting server"
            for line in process.stderr:
                told = line.strip()
                if told.startswith("To see the GUI go to: "):
                    break
            yield process, told.rpartition(" ")[2]
        finally:
            process.kill()


def _send(url: str, prompt: dict[str, object]) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.post(f"{url}/prompt", json={"prompt": prompt}, timeout=5)


def test_it_is_ready_at_once_and_says_where(tmp_path: Path) -> None:
    """N5.1: the first answer is complete, models included; an unknown flag is refused."""
    began = time.monotonic()
    lay_out_props(tmp_path)
    flags = ["--step-s", "0.01"]
    with _process(tmp_path, *flags) as (_, url):
        assert time.monotonic() - began < 5
        stats = httpx.get(f"{url}/system_stats").json()
        assert stats["system"]["argv"] == ["main.py", "--base-directory", str(tmp_path), *flags]
        models = httpx.get(f"{url}/models/loras").json()
        assert models == ["corrupt.safetensors", "tiny-lora-b.safetensors", "tiny-lora.safetensors"]
    command = [sys.executable, "-m", "daemon.rehearsal", "--base-directory", str(tmp_path)]
    wrong = subprocess.run([*command, "--medvram"], cwd=ROOT, capture_output=True, check=False)
    assert wrong.returncode == 2


def test_sigterm_ends_it_at_once_and_sigint_with_a_word(tmp_path: Path) -> None:
    """N4.5: as the real one ends."""
    with _process(tmp_path) as (process, _):
        process.terminate()
        assert process.wait(1) == -signal.SIGTERM
    with _process(tmp_path) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(3) == 0
        assert process.stderr is not None
        assert "Stopped server" in process.stderr.read()


def test_a_taken_port_ends_it_with_status_one(tmp_path: Path) -> None:
    """N5.1: fails loudly."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with _process(tmp_path, "--port", port) as (process, _):
            assert process.wait(5) == 1


@pytest.mark.parametrize("moment", ["post", "sampling", "saving", "after_success"])
def test_it_dies_at_the_chosen_moment(tmp_path: Path, moment: str) -> None:
    """N6.2: by SIGKILL; nothing of the run is left but what is on disk."""
    lay_out_props(tmp_path)
    with _process(tmp_path, "--fault", f"die_at={moment}", "--step-s", "0.01") as (process, url):
        body = {"prompt": txt2img(width=128, height=128)}
        if moment == "post":
            _send(url, body["prompt"])
        else:
            httpx.post(f"{url}/prompt", json=body)
        assert process.wait(5) == -signal.SIGKILL
    saved = tmp_path / "output" / "bench" / "txt2img_00001_.png"
    assert saved.exists() == (moment in ("saving", "after_success"))
    if moment == "saving":
        with pytest.raises(OSError, match=r"(?i)truncated"), Image.open(saved) as image:
            image.load()


def test_a_restart_forgets_everything_but_the_files(tmp_path: Path) -> None:
    """N6.2: queue, history and numbers are gone; the counter of the output folder goes on."""
    for expected in ("flat_00001_.png", "flat_00002_.png"):
        with _process(tmp_path) as (_, url):
            assert httpx.get(f"{url}/history").json() == {}
            answer = httpx.post(f"{url}/prompt", json={"prompt": flat()}).json()
            assert answer["number"] == 0
            deadline = time.monotonic() + 5
            while not (entry := httpx.get(f"{url}/history").json()):
                assert time.monotonic() < deadline
            images = entry[answer["prompt_id"]]["outputs"]["2"]["images"]
            assert images[0]["filename"] == expected


def test_it_goes_on_when_nobody_reads_what_it_says(tmp_path: Path) -> None:
    """N6.2: a killed daemon leaves a closed pipe behind; the prompt ends all the same."""
    with _process(tmp_path) as (process, url):
        assert process.stderr is not None
        process.stderr.close()
        for color in (1, 2):
            prompt_id = httpx.post(f"{url}/prompt", json={"prompt": flat(color)}).json()[
                "prompt_id"
            ]
            deadline = time.monotonic() + 5
            while not httpx.get(f"{url}/history/{prompt_id}").json():
                assert time.monotonic() < deadline


def _words(base: Path, profile: str, faults: str, **environment: str) -> Words:
    """What the log says of two pictures with different seeds."""
    switched = {"REHEARSAL_FAULTS": faults, **environment}
    with _process(base, "--step-s", "0", "--profile", profile, **switched) as (process, url):
        for seed in (1, 2):
            asked = {"prompt": txt2img(width=64, height=64, seed=seed), "prompt_id": str(seed)}
            httpx.post(f"{url}/prompt", json=asked)
            deadline = time.monotonic() + 5
            while not httpx.get(f"{url}/history/{seed}").json():
                assert time.monotonic() < deadline
                time.sleep(0.01)
        process.terminate()
        assert process.stderr is not None
        return read_words(process.stderr.read())


def test_its_log_has_the_words_of_a_real_one(tmp_path: Path) -> None:
    """A1.5, A3.3: a warning comes once in a process, that of NaN always if it was asked for."""
    lay_out_props(tmp_path)
    faults = "nan lora_unmatched cpu_fallback"
    words = _words(tmp_path, "default", faults)
    assert (words.nan_warnings, words.lora_keys_unmatched) == (1, 3)
    assert words.fallbacks == {"aten::_linalg_svd.U": 1}
    assert _words(tmp_path, "default", faults, **ENVIRONMENT).nan_warnings == 2
    assert _words(tmp_path, "default", "oom").out_of_memory == 2


def test_a_fault_may_be_that_of_some_launch_profiles_only(tmp_path: Path) -> None:
    """A3.2: so that the ladder of profiles has something to find."""
    lay_out_props(tmp_path)
    faults = "nan only_in=default,split-attention"
    assert _words(tmp_path, "split-attention", faults).nan_warnings == 1
    assert _words(tmp_path, "fp32-unet", faults) == Words()
