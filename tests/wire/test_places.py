"""Paths in what is shared mean the same on another machine (N3.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.wire.places import portable_args, portable_text

PLACES = {"$COMFYUI": "/Users/spyke/ComfyUI", "$STUDIO": "/Users/spyke/ComfyUI/manga studio"}

PATHS = st.lists(st.sampled_from(["Users", "models", "..", "a b", "x.py"]), min_size=1)
ARGS = st.builds(
    lambda flag, lead, parts, tail: flag + lead + "/".join(parts) + tail,
    st.sampled_from(["", "--base-directory=", "-x", "--url=sqlite:///", "C:\\Users\\spyke\\"]),
    st.sampled_from(["/Users/spyke/", "/Users/spyke/ComfyUI/", "~/", "~spyke/", "/opt/", "../"]),
    PATHS,
    st.sampled_from(["", "/", ":/Users/spyke/other", "/../../spyke/secret"]),
)


@pytest.mark.parametrize(
    ("arg", "written"),
    [
        ("main.py", "main.py"),
        ("--port=8188", "--port=8188"),
        ("/Users/spyke/ComfyUI/main.py", "$COMFYUI/main.py"),
        ("--output-directory=/Users/spyke/ComfyUI/manga studio/o", "--output-directory=$STUDIO/o"),
        ("/Users/spyke/ComfyUI-old/main.py", "$HOME/ComfyUI-old/main.py"),
        ("/opt/python/bin/python3", "python3"),
        ("~/ComfyUI", "$HOME/ComfyUI"),
        ("/Users/spyke", "$HOME"),
        ("sqlite:////Users/spyke/x.db", "x.db"),
        ("C:\\Users\\spyke\\ComfyUI", "ComfyUI"),
        ("$COMFYUI/../../spyke", "spyke"),
    ],
)
def test_known_folders_are_named_and_of_others_the_last_part_is_kept(
    arg: str, written: str
) -> None:
    """N3.4."""
    assert portable_args([arg], PLACES) == (written,)


@given(ARGS)
def test_no_argument_keeps_an_absolute_path_or_a_home(arg: str) -> None:
    """N3.4."""
    (written,) = portable_args([arg], PLACES)
    value = written.partition("=")[2] if written.startswith("--") else written
    assert "spyke" not in written
    assert "/" not in value or value.startswith("$")


def test_a_sentence_names_folders_and_keeps_what_only_looks_like_one() -> None:
    """N3.4."""
    said = "'/Users/spyke/ComfyUI/models/vae/x' is not '/home/you/x'; see run/home/3."
    assert (
        portable_text(said, PLACES) == "'$COMFYUI/models/vae/x' is not '$HOME/x'; see run/home/3."
    )
