"""Ids are derived: the same request leads to the same names after a crash, on any machine."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from daemon.core.ids import (
    derived_seed,
    file_prefix,
    is_rehearsal,
    job_id,
    prompt_id,
    split_job,
)

names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)
texts = st.text(max_size=20)
numbers = st.integers(1, 10**9 - 1)


@dataclass(frozen=True)
class Prompt:
    """What a prompt id is derived from."""

    studio: str = "a1b2"
    job: str = "ch01_p003_v1"
    attempt: int = 1
    image: int = 1
    graph_sha256: str = "c" * 64

    @property
    def id(self) -> str:
        return prompt_id(
            studio=self.studio,
            job=self.job,
            attempt=self.attempt,
            image=self.image,
            graph_sha256=self.graph_sha256,
        )


prompts = st.builds(Prompt, texts, texts, numbers, numbers, texts)


@given(names, numbers, st.booleans())
def test_a_job_id_can_be_taken_apart_again(name: str, number: int, rehearsal: bool) -> None:
    made = job_id(name, number, rehearsal=rehearsal)
    assert split_job(made) == (name, "r" if rehearsal else "v", number)
    assert is_rehearsal(made) == rehearsal


def test_a_name_that_looks_like_a_job_is_told_from_its_number() -> None:
    assert split_job("spyke_v1_v2") == ("spyke_v1", "v", 2)
    assert split_job("spyke_r1_v12") == ("spyke_r1", "v", 12)


def test_what_is_no_job_id_is_none() -> None:
    for text in ("", "spyke", "spyke_v0", "spyke_v01", "Spyke_v1", "spyke_x1", "_v1", "a_v1\n"):
        assert split_job(text) is None
        assert not is_rehearsal(text)


@given(prompts)
def test_a_prompt_id_is_a_canonical_lowercase_uuid(prompt: Prompt) -> None:
    assert str(uuid.UUID(prompt.id)) == prompt.id


@given(prompts, prompts)
def test_two_prompts_share_an_id_only_when_they_are_the_same(one: Prompt, other: Prompt) -> None:
    assert (one.id == other.id) == (one == other)


def test_every_part_of_a_prompt_is_in_its_id() -> None:
    prompt = Prompt()
    others = (
        replace(prompt, studio="a1b3"),
        replace(prompt, job="ch01_p003_v2"),
        replace(prompt, attempt=2),
        replace(prompt, image=2),
        replace(prompt, graph_sha256="d" * 64),
        replace(prompt, attempt=11, image=1),
        replace(prompt, attempt=1, image=11),
    )
    assert len({prompt.id, *(other.id for other in others)}) == 1 + len(others)


def test_a_prompt_id_is_the_hash_that_is_promised() -> None:
    """Golden: an id that changed would not be found again at the engine after an update."""
    parts = ("prompt", "a1b2", "ch01_p003_v1", "1", "1", "c" * 64)
    digest = sha256("\0".join(parts).encode()).hexdigest()
    assert Prompt().id.replace("-", "") == digest[:32]
    assert Prompt().id == "3e206ad6-7420-afd0-9e39-81aa88a81ae7"


@given(prompts)
def test_a_file_prefix_is_lowercase_and_as_much_the_prompts_own_as_its_id(prompt: Prompt) -> None:
    """N3.3."""
    prefix = file_prefix(prompt.id)
    assert prefix == f"nightpress/{prompt.id.replace('-', '')[:12]}"
    assert prefix == prefix.lower()


@given(texts, texts, st.integers(1, 100))
def test_a_derived_seed_fits_into_what_javascript_keeps_exact(
    studio: str, job: str, index: int
) -> None:
    seed = derived_seed(studio=studio, job=job, index=index)
    assert 0 <= seed <= 2**53 - 1
    assert seed == derived_seed(studio=studio, job=job, index=index)


def test_pictures_jobs_and_studios_have_seeds_of_their_own() -> None:
    seeds = {
        derived_seed(studio=studio, job=job, index=index)
        for studio in ("a1b2", "a1b3")
        for job in ("ch01_v1", "ch01_v2")
        for index in range(1, 101)
    }
    assert len(seeds) == 400
    assert max(seeds) > 2**52, "the whole range is used"


def test_a_derived_seed_is_the_hash_that_is_promised() -> None:
    """Golden: the same request drawn anew after an update is the same picture."""
    digest = sha256(b"seed\0a1b2\0ch01_p003_v1\x001").hexdigest()
    assert derived_seed(studio="a1b2", job="ch01_p003_v1", index=1) == int(digest, 16) % 2**53
