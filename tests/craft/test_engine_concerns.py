"""What the command line of a ComfyUI gives cause to say."""

from __future__ import annotations

import pytest

from daemon.craft.engine_concerns import concerns

GOOD = ["main.py", "--listen", "127.0.0.1", "--fp32-vae", "--disable-all-custom-nodes"]


def test_of_a_stranger_s_comfyui_it_is_said_what_cannot_be_had() -> None:
    """A3.2, A4.1: and nothing else, where it was started well."""
    (always,) = concerns(GOOD, mode="external")
    assert 'mode = "managed"' in always
    assert concerns(GOOD, mode="managed") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--listen", "all addresses"),
        ("--listen 0.0.0.0", "'0.0.0.0'"),
        ("--listen=127.0.0.1,::", "'127.0.0.1,::'"),
        ("--listen --cpu", "all addresses"),
        ("--enable-cors-header", "any page"),
        ("--disable-metadata", "which prompt"),
        ("--lowvram", "nothing on a Mac"),
        ("--novram", "nothing on a Mac"),
        ("--preview-method auto", "--preview-method none"),
        ("--cpu", "minutes"),
        ("--fp16-vae", "black"),
    ],
)
def test_what_spoils_pictures_or_opens_the_engine_is_said(words: str, said: str) -> None:
    """A3.4, N2.1"""
    assert any(said in one for one in concerns([*GOOD, *words.split()], mode="external"))
    assert not any(said in one for one in concerns(GOOD, mode="external"))


def test_a_comfyui_started_plainly_computes_its_vae_in_bf16_and_loads_every_pack() -> None:
    """A1.6, A4.1"""
    vae, packs, _ = concerns(["main.py"], mode="external")
    assert "--fp32-vae" in vae
    assert "--disable-all-custom-nodes" in packs
    for flag in ("--listen ::1", "--listen localhost", "--cpu-vae"):
        assert len(concerns(["main.py", *flag.split()], mode="external")) in {2, 3}


def test_of_our_own_only_what_the_user_added_is_said() -> None:
    (cpu,) = concerns(["main.py", "--cpu"], mode="managed")
    assert "--cpu" in cpu
