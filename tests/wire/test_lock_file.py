"""Lock files say what it takes to make a picture again, and nothing of who made it."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.jobs import Engine
from daemon.errors import AskerError
from daemon.wire.lock_file import (
    Input,
    Ledger,
    LockFacts,
    Model,
    Prompt,
    Quality,
    Request,
    Sampler,
    Subject,
    Workflow,
    read_lock,
    render_lock,
)

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.integers(0, 2**53)

LOCKS = st.builds(
    LockFacts,
    st.just(1),
    st.builds(Subject, WORDS, WORDS, DIGESTS, COUNTS, WORDS),
    st.builds(Request, WORDS, WORDS, COUNTS, COUNTS, DIGESTS),
    st.builds(
        Engine,
        name=WORDS,
        version=WORDS,
        commit=WORDS,
        mode=WORDS,
        args=st.lists(WORDS).map(tuple),
        device=WORDS,
        python=WORDS,
        torch=WORDS,
        os=WORDS,
        custom_nodes=st.lists(WORDS).map(tuple),
    ),
    st.builds(
        Sampler,
        *(COUNTS, COUNTS, FLOATS, WORDS, WORDS, FLOATS, COUNTS, COUNTS, COUNTS),
        st.sampled_from(["portable", "device"]),
    ),
    st.builds(Prompt, WORDS, WORDS),
    st.lists(
        st.builds(
            Model,
            role=WORDS,
            name=WORDS,
            strength=st.none() | FLOATS,
            sha256=DIGESTS,
            dtype=WORDS,
            bytes=COUNTS,
            job=WORDS,
        ),
        max_size=3,
    ).map(tuple),
    st.lists(st.builds(Input, WORDS, WORDS, DIGESTS), max_size=2).map(tuple),
    st.builds(Workflow, WORDS, DIGESTS, WORDS, DIGESTS),
    st.builds(Quality, WORDS, WORDS),
    st.builds(Ledger, WORDS, WORDS, COUNTS, WORDS),
)

LOCK = LockFacts(
    1,
    Subject("ch01_p003", "ch01_p003_v1.png", "a" * 64, 512, "00ff00ff00ff00ff"),
    Request("ch01_p003_v1", "run-7", 1, 1, "b" * 64),
    Engine(
        name="comfyui",
        version="0.3.64",
        mode="managed",
        args=("main.py", "--base-directory=$COMFYUI"),
        device="mps",
        python="3.11.7",
        torch="2.8.0",
        os="darwin",
        custom_nodes=(),
    ),
    Sampler(421, 20, 7.0, "euler", "normal", 1.0, 2, 512, 768, "portable"),
    Prompt("spyke, rain", ""),
    (
        Model(role="checkpoint", name="a.safetensors", sha256="c" * 64, dtype="F16", bytes=9),
        Model(
            role="lora",
            name="spyke_v1-000792.safetensors",
            strength=0.7,
            sha256="d" * 64,
            dtype="F16",
            bytes=8,
            job="spyke_v1",
        ),
    ),
    (Input("hint", "$JOB/input-eeeeeeeeeeee.png", "e" * 64),),
    Workflow("ch01_p003_v1.workflow.json", "f" * 64, "panel", "0" * 64),
    Quality("fine", "default"),
    Ledger("studio-mac", "2026-11", 7, "1" * 32),
)

KEYS = """\
lock_version
[subject] name file sha256 size perceptual_hash
[job] id ref attempt image request_sha256
[engine] name version mode args device python torch os custom_nodes
[sampler] seed steps cfg sampler scheduler denoise clip_skip width height noise
[prompt] positive negative
[[model]] role name sha256 dtype bytes
[[model]] role name strength sha256 dtype bytes job
[[input]] role name sha256
[workflow] file sha256 template template_sha256
[quality] verdict rung
[ledger] host segment seq chain
"""


def outline(text: str) -> str:
    """The sections with their keys, in the order of the file."""
    lines = [""]
    for line in text.splitlines():
        if line.startswith("["):
            lines.append(line)
        elif " = " in line and not line.startswith(" "):
            lines[-1] += f" {line.split(' = ')[0]}"
    return "\n".join(line.strip() for line in lines) + "\n"


@given(LOCKS)
def test_reading_gives_back_what_was_written(lock: LockFacts) -> None:
    """S3.2."""
    assert read_lock(render_lock(lock)) == lock


def test_the_order_of_sections_and_keys_is_the_contracts() -> None:
    """S3.2: a lock can be compared with another line by line."""
    assert outline(render_lock(LOCK).decode()) == KEYS


def test_a_commit_is_written_where_it_is_known() -> None:
    """S3.2."""
    lock = replace(LOCK, engine=replace(LOCK.engine, commit="72fd004"))
    assert tomllib.loads(render_lock(lock).decode())["engine"]["commit"] == "72fd004"
    assert 'version = "0.3.64"\ncommit = "72fd004"\nmode' in render_lock(lock).decode()


def test_a_lone_surrogate_in_an_argument_does_not_cost_the_lock() -> None:
    lock = replace(LOCK, engine=replace(LOCK.engine, args=("\ud800.py",)))
    assert read_lock(render_lock(lock)).engine.args == ("?.py",)


def test_keys_of_a_later_minor_version_are_passed_over() -> None:
    """N3.4."""
    text = render_lock(LOCK).replace(b"[prompt]\n", b'[prompt]\nlanguage = "en"\n')
    assert read_lock(text) == LOCK


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff", "not TOML"),
        (b"[", "not TOML"),
        (b"", "lock_version is None"),
        (render_lock(LOCK).replace(b"lock_version = 1", b"lock_version = 2"), "lock_version is 2"),
        (render_lock(LOCK).replace(b"seed = 421", b'seed = "x"'), "damaged at sampler.seed"),
        (render_lock(LOCK).replace(b"[ledger]", b"[other]"), "damaged at ledger"),
    ],
)
def test_what_is_no_lock_is_refused_with_the_place(data: bytes, said: str) -> None:
    with pytest.raises(AskerError, match=said):
        read_lock(data)
