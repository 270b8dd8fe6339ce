"""CLIP's byte-pair encoding, by a small vocabulary of our own and, where it is there, by CLIP's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from daemon.adapters.clip_vocabulary import tokens
from daemon.craft.clip_tokens import ClipTokens
from daemon.craft.findings import Finding
from daemon.craft.trigger import trigger_findings

MERGES = "#version: 0.2\ns p\nk e</w>\nsp y\ni ke</w>\nsp ike</w>\np l\nn o\nno w</w>\n"
VOCABULARY = json.dumps(
    {token: place for place, token in enumerate(["spy", "ke</w>", "spike</w>", "now</w>", "pl"])}
)
SMALL = ClipTokens.read(VOCABULARY, MERGES)
REAL = {
    "spyke_plasma_v1": "spy ke _ plasma _ v 1",
    "sypke_lora": "sy p ke _ lor a",
    "A photo of a cat!!": "a photo of a cat !!",
    "1girl, solo, full-body": "1 girl , solo , full - body",
    "it's 2024": "it 's 2 0 2 4",
    "x² Ⅳ, café": "x ² � � � , café",
}


def test_text_is_cut_at_blanks_digits_and_signs_and_joined_by_rank() -> None:
    assert SMALL.split("Spyke_pl 12") == ("spy", "ke", "_", "p", "l", "1", "2")
    assert SMALL.count("Spyke_pl 12") == 7
    assert SMALL.split("é") == ("é",) or SMALL.count("é") == 2


def said(trigger: str, tokens: ClipTokens | None = SMALL) -> list[tuple[str, str]]:
    found: list[Finding] = list(trigger_findings(trigger, tokens))
    return [(each.severity, each.code) for each in found]


@pytest.mark.parametrize("trigger", ["spike", "Spike", "spyke", "spik", "spikes", "pike", "sspike"])
def test_a_bare_word_that_the_model_knows_or_nearly_knows_is_refused(trigger: str) -> None:
    """K6.1"""
    assert said(trigger) == [("refuse", "trigger-word")]


@pytest.mark.parametrize(
    "trigger", ["spyke_plasma_v1", "sypke_lora", "spike1", "sypke", "now", "ow"]
)
def test_compounds_misspellings_and_short_words_are_accepted_with_their_split(trigger: str) -> None:
    """K6.1, W29"""
    assert said(trigger) == [("note", "trigger-split")]


def test_without_a_vocabulary_it_is_said_to_be_unknown() -> None:
    """K6.1"""
    assert said("spike", None) == [("note", "trigger-unknown")]


@pytest.fixture(scope="module")
def real() -> ClipTokens:
    program = os.environ.get("NIGHTPRESS_TEST_COMFYUI_PROGRAM")
    if not program:
        pytest.skip("there is no CLIP vocabulary: NIGHTPRESS_TEST_COMFYUI_PROGRAM names a ComfyUI")
    found = tokens(Path(program, "comfy", "sd1_tokenizer"))
    assert found is not None
    return found


@pytest.mark.parametrize("text", REAL)
def test_it_cuts_as_the_real_tokenizer_does(real: ClipTokens, text: str) -> None:
    """K5.4"""
    assert " ".join(real.split(text)) == REAL[text]


def test_the_examples_of_the_mission_stand_by_the_real_vocabulary(real: ClipTokens) -> None:
    """K6.1"""
    assert said("spyke", real) == [("refuse", "trigger-word")]
    assert said("spyke_plasma_v1", real) == said("sypke_lora", real) == [("note", "trigger-split")]
