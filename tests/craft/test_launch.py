"""How ComfyUI is started: by flags that the installed version has by name, and by no other."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

import pytest

from daemon.craft.launch import (
    ENVIRONMENT,
    PROFILES,
    Folders,
    args_fault,
    command_line,
    extra_paths,
    options_of,
)
from daemon.errors import WorldError

FOLDERS = Folders(base="/models", own="/s/engine", extra="/s/engine/paths.yaml")
FLAGS = """
--listen --port --base-directory --output-directory --input-directory --temp-directory
--user-directory --database-url --extra-model-paths-config --fp16-unet --fp32-unet
--bf16-unet --fp16-vae --fp32-vae --cpu-vae --use-split-cross-attention
--use-pytorch-cross-attention --disable-all-custom-nodes --whitelist-custom-nodes
--disable-api-nodes --preview-method --disable-auto-launch --disable-metadata --lowvram
--cpu --cache-lru --cache-none --fast
"""
HERE = frozenset(FLAGS.split())


def started(
    profile: str = "default",
    *,
    options: Collection[str] = HERE,
    extra: Sequence[str] = (),
    packs: Collection[str] = (),
) -> tuple[Sequence[str], Sequence[str]]:
    return command_line(
        profile,
        program=("python", "main.py"),
        port=8199,
        folders=FOLDERS,
        options=options,
        extra=extra,
        packs=packs,
    )


def refused(**changes: Collection[str]) -> str:
    with pytest.raises(WorldError) as caught:
        started(**changes)  # type: ignore[arg-type]
    assert caught.value.code == "ENGINE_START"
    return caught.value.text


def test_a_managed_comfyui_is_started_as_the_mission_says() -> None:
    """A1.6, A4.1, N2.1: fp16 UNet, fp32 VAE, this machine only, no custom nodes, its own files."""
    argv, notes = started()
    assert " ".join(argv) == (
        "python main.py --listen 127.0.0.1 --port 8199 --base-directory /models"
        " --output-directory /s/engine/output --input-directory /s/engine/input"
        " --temp-directory /s/engine --user-directory /s/engine/user"
        " --database-url sqlite:////s/engine/user/comfyui.db"
        " --extra-model-paths-config /s/engine/paths.yaml --fp16-unet --fp32-vae"
        " --disable-all-custom-nodes --disable-api-nodes --preview-method none"
        " --disable-auto-launch"
    )
    assert not notes
    assert FOLDERS.made == ["/s/engine/output", "/s/engine/input", "/s/engine/user"]


@pytest.mark.parametrize(
    ("profile", "added", "left_out"),
    [
        ("fp32-unet", {"--fp32-unet"}, {"--fp16-unet"}),
        ("split-attention", {"--use-split-cross-attention"}, set[str]()),
        ("cpu-vae", {"--cpu-vae"}, {"--fp32-vae"}),
    ],
)
def test_a_profile_differs_from_the_default_in_its_own_point_only(
    profile: str, added: set[str], left_out: set[str]
) -> None:
    """A3.2"""
    assert profile in PROFILES
    usual, climbed = set(started()[0]), set(started(profile)[0])
    assert (climbed - usual, usual - climbed) == (added, left_out)


def test_only_the_packs_that_are_allowed_are_loaded() -> None:
    """A4.1"""
    argv, _ = started(packs=["b pack", "a"])
    at = argv.index("--whitelist-custom-nodes")
    assert argv[at - 1 : at + 4] == (
        "--disable-all-custom-nodes",
        "--whitelist-custom-nodes",
        "a",
        "b pack",
        "--disable-api-nodes",
    )


def test_a_flag_that_can_be_missing_is_left_out_aloud() -> None:
    argv, notes = started(options=HERE - {"--fp16-unet", "--database-url", "--disable-api-nodes"})
    assert "--fp16-unet" not in argv
    assert [note.split()[4].rstrip(",") for note in notes] == [
        "--database-url",
        "--fp16-unet",
        "--disable-api-nodes",
    ]
    later = (HERE - {"--disable-api-nodes"}) | {"--disable-partner-nodes"}
    argv, notes = started(options=later)
    assert "--disable-partner-nodes" in argv
    assert not notes


@pytest.mark.parametrize("flag", ["--fp32-vae", "--disable-all-custom-nodes", "--user-directory"])
def test_without_a_flag_that_is_needed_nothing_is_started(flag: str) -> None:
    assert flag in (text := refused(options=HERE - {flag}))
    assert "newer ComfyUI" in text


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--medvram"], "AUTOMATIC1111"),
        (["--no-half"], "AUTOMATIC1111"),
        (["--upcast-sampling"], "AUTOMATIC1111"),
        (["--lowvram"], "nothing on a Mac"),
        (["--listen"], "asks nobody who they are"),
        (["--listen=0.0.0.0"], "asks nobody who they are"),
        (["--enable-cors-header", "*"], "asks nobody who they are"),
        (["--port", "1"], "nightpress sets it"),
        (["--cache-lru", "2", "--whitelist-custom-nodes", "x"], "custom_nodes"),
        (["--disable-metadata"], "which prompt"),
        (["--bf16-unet"], "precision"),
        (["--force-fp16"], "precision"),
        (["--fp16"], "precision"),
        (["-h"], "ends at once"),
        (["evil.yaml"], "before any flag"),
        (["--cache-lru", "2\n"], "control characters"),
    ],
)
def test_what_the_user_may_not_add_is_refused_with_the_reason(args: list[str], words: str) -> None:
    """N2.1"""
    assert words in args_fault(args)


def test_an_fp16_vae_is_refused() -> None:
    """A3.4: no checkpoint has passed a test of it."""
    assert "black" in args_fault(["--fp16-vae"])
    assert "--fp16-vae" not in {word for profile in PROFILES for word in started(profile)[0]}


@pytest.mark.parametrize("near", ["--cache", "--cache-lr", "--cache-nome", "--disable-met", "-c"])
def test_the_beginning_of_a_flag_is_not_the_flag(near: str) -> None:
    """ComfyUI would take it for the whole one, or for another."""
    text = refused(extra=[near])
    assert near in text
    assert near == "-c" or "--cache-none" in text or "--disable-metadata" in text


def test_the_users_own_words_come_last_and_as_they_are() -> None:
    words = ("--cache-lru", "2", "--reserve-vram=-1")
    argv, _ = started(extra=words, options=HERE | {"--reserve-vram"})
    assert argv[-3:] == words
    assert argv[-4] == "--disable-auto-launch"  # It takes no value.


def test_split_attention_goes_before_the_users_own_attention() -> None:
    """Two of them are refused by ComfyUI."""
    words = ("--use-pytorch-cross-attention", "--cpu")
    assert started(extra=words)[0][-2:] == words
    climbed = started("split-attention", extra=words)[0]
    assert "--use-pytorch-cross-attention" not in climbed
    assert climbed[-1] == "--cpu"


def test_an_operator_that_mps_lacks_runs_on_the_cpu_and_no_watermark_is_set() -> None:
    """A1.1"""
    assert ENVIRONMENT["PYTORCH_ENABLE_MPS_FALLBACK"] == "1"
    assert not any("WATERMARK" in name for name in ENVIRONMENT)


def test_the_flags_are_read_from_the_installed_version_and_nothing_of_it_is_run() -> None:
    source = (
        "raise SystemExit('never')\n"
        'p.add_argument("--listen", "-l", default="--x")\ngroup.add_argument("--cpu", help="--y")\n'
    )
    assert options_of(source) == {"--listen", "-l", "--cpu"}
    for other in ("", "p.add_argument('--cpu')", "def (", "\0"):
        with pytest.raises(WorldError, match=r"comfy/cli_args\.py"):
            options_of(other)


def test_a_folder_of_loras_is_named_whatever_is_in_its_name() -> None:
    folder = '/s: "x" #/loras'
    assert json.loads(extra_paths(folder)) == {"nightpress": {"loras": folder}}
