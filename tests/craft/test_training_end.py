"""What is concluded from the end of a training, and that success takes every proof."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.jobs import Outcome
from daemon.craft.diagnosis import diagnosis
from daemon.craft.training_end import _CAUSES, Ending, Reading, verdict

GOOD = Reading("mps", loaded=True, trained=True, step=8, steps=8, loss=0.1, saved=True)
LOADING = Reading("mps")
LOADED = Reading("mps", loaded=True)
WELL, BADLY = Ending(0), Ending(1)
STATE = (Outcome.LOST, "STATE_BROKEN")
HEADER = "safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge"


def test_every_proof_together_is_success() -> None:
    found = verdict(GOOD, WELL, complete=True)
    assert (found.outcome, found.code, found.text) == (Outcome.SUCCEEDED, "", "")


@pytest.mark.parametrize(
    ("reading", "complete", "outcome", "code"),
    [
        (replace(GOOD, trained=False, loss=None), True, Outcome.FAILED, "NOTHING_TRAINED"),
        (replace(GOOD, loss=math.nan), True, Outcome.FAILED, "LOSS_NAN"),
        (replace(GOOD, loss=math.inf), True, Outcome.FAILED, "LOSS_NAN"),
        (replace(GOOD, loss=None), True, Outcome.FAILED, "TRAINER_UNPROVEN"),
        (replace(GOOD, saved=False), True, Outcome.FAILED, "TRAINER_UNPROVEN"),
        (GOOD, False, Outcome.LOST, "CHECKPOINT_BROKEN"),
    ],
)
def test_an_exit_status_of_0_proves_nothing_alone(
    reading: Reading, complete: bool, outcome: Outcome, code: str
) -> None:
    found = verdict(reading, WELL, complete=complete)
    assert (found.outcome, found.code) == (outcome, code)


@pytest.mark.parametrize(
    ("reading", "error", "outcome", "code"),
    [
        (GOOD, "OSError: [Errno 28] No space left on device", Outcome.LOST, "DISK_FULL"),
        (Reading(), "KeyboardInterrupt", Outcome.LOST, "INTERRUPTED"),
        (GOOD, "SafetensorError: IoError(Os { kind: StorageFull", Outcome.LOST, "DISK_FULL"),
        (GOOD, "RuntimeError: PytorchStreamWriter failed writing", Outcome.LOST, "DISK_FULL"),
        (GOOD, "RuntimeError: MPS backend out of memory (MPS allo", Outcome.FAILED, "MPS_OOM"),
        (GOOD, "OSError: image file is truncated", Outcome.FAILED, "IMAGE_BROKEN"),
        (Reading(), "ZeroDivisionError: division by zero", Outcome.FAILED, "IMAGE_BROKEN"),
        (GOOD, "ZeroDivisionError: division by zero", Outcome.FAILED, "TRAINER_FAILED"),
        (Reading(), "AssertionError: caption file is empty", Outcome.FAILED, "CAPTION_EMPTY"),
        (LOADING, HEADER, Outcome.FAILED, "MODEL_BROKEN"),
        (LOADED, HEADER, Outcome.LOST, "STATE_BROKEN"),
        (GOOD, "AssertionError: max_train_steps should be greater than initial step", *STATE),
        (LOADED, "EOFError: Ran out of input", Outcome.LOST, "STATE_BROKEN"),
        (LOADING, "KeyError: 'time_embed.0.weight'", Outcome.FAILED, "MODEL_WRONG"),
        (GOOD, "KeyError: 'time_embed.0.weight'", Outcome.FAILED, "TRAINER_FAILED"),
        (Reading(), "TypeError: expected str, not NoneType", Outcome.FAILED, "TOKENIZER_MISSING"),
        (LOADING, "TypeError: expected str, not NoneType", Outcome.FAILED, "TRAINER_FAILED"),
        (LOADED, "ModuleNotFoundError: No module named 'x'", Outcome.FAILED, "TRAINER_PACKAGE"),
        (Reading(), "ValueError: fp16 mixed precision requires a G", Outcome.FAILED, "PRECISION"),
        (
            GOOD,
            "RuntimeError: expected m1 and m2 to have the same dtype",
            Outcome.FAILED,
            "PRECISION",
        ),
        (Reading(), "toml.TomlDecodeError: no", Outcome.FAILED, "TRAINER_DOCUMENTS"),
        (GOOD, "ValueError: something else", Outcome.FAILED, "TRAINER_FAILED"),
        (GOOD, "", Outcome.FAILED, "TRAINER_FAILED"),
    ],
)
def test_a_failure_is_named_by_its_last_line_and_by_how_far_it_came(
    reading: Reading, error: str, outcome: Outcome, code: str
) -> None:
    found = verdict(replace(reading, error=error), BADLY, complete=True)
    assert (found.outcome, found.code) == (outcome, code)
    assert (error or "did not say why") in found.text


@pytest.mark.parametrize(
    ("ending", "outcome", "code"),
    [
        (None, Outcome.LOST, "TRAINER_UNKNOWN"),
        (Ending(None), Outcome.LOST, "TRAINER_UNKNOWN"),
        (Ending(2), Outcome.FAILED, "TRAINER_OPTIONS"),
        (Ending(None, 9), Outcome.LOST, "KILLED"),
        (Ending(None, 15), Outcome.LOST, "TERMINATED"),
        (Ending(None, 2), Outcome.LOST, "INTERRUPTED"),
        (Ending(None, 6), Outcome.LOST, "KILLED"),
        (Ending(137), Outcome.FAILED, "TRAINER_FAILED"),
        (Ending(None, 15, "cancelled"), Outcome.CANCELLED, "CANCELLED"),
        (Ending(0, 0, "cancelled"), Outcome.CANCELLED, "CANCELLED"),
        (Ending(None, 15, "signal 15"), Outcome.STOPPED, "SHUT_DOWN"),
        (Ending(None, 0, "signal 1"), Outcome.STOPPED, "SHUT_DOWN"),
        (Ending(None, 15, "log full"), Outcome.FAILED, "LOG_FLOOD"),
        (Ending(0, 0, "signal 15"), Outcome.SUCCEEDED, ""),
    ],
)
def test_an_ending_from_outside_is_told_by_who_ended_it(
    ending: Ending | None, outcome: Outcome, code: str
) -> None:
    """The maker's cancel beats a success; a shutdown that came too late does not."""
    found = verdict(GOOD, ending, complete=True)
    assert (found.outcome, found.code) == (outcome, code)


def test_a_kill_is_one_for_memory_only_where_something_speaks_for_it() -> None:
    """N4.3, W30: and even then it is probable, never certain. The next attempt goes on."""
    plain = verdict(GOOD, Ending(None, 9), complete=True)
    assert (plain.outcome, plain.code) == (Outcome.LOST, "KILLED")
    assert "(signal 9); nothing proves that memory was short" in plain.text
    found = verdict(GOOD, Ending(None, 9, evidence="oom_kill grew by 1"), complete=True)
    assert (found.outcome, found.code) == (Outcome.LOST, "OOM_KILL")
    begins = "The trainer was killed (signal 9); probable cause: memory: oom_kill grew by 1."
    assert found.text.startswith(begins)


def test_evidence_says_nothing_of_an_end_that_was_no_kill() -> None:
    for ending in (Ending(None, 15, "cancelled", "grew"), Ending(None, 6, "", "grew"), Ending(1)):
        assert verdict(GOOD, ending, complete=True).code != "OOM_KILL"


endings = st.none() | st.builds(
    Ending,
    st.none() | st.integers(-1, 255),
    st.integers(0, 31),
    st.sampled_from(["", "cancelled", "signal 15", "log full"]),
)
readings = st.builds(Reading, error=st.text(), saved=st.booleans(), trained=st.booleans())


@given(readings, endings, st.booleans())
def test_every_end_has_a_verdict_with_a_known_code_and_one_sentence(
    reading: Reading, ending: Ending | None, complete: bool
) -> None:
    found = verdict(reading, ending, complete=complete)
    assert found.outcome is not Outcome.SUCCEEDED
    assert diagnosis(found.code) != diagnosis("NO_SUCH_CODE")
    assert found.text.endswith(".")


def test_success_needs_each_of_its_proofs() -> None:
    for code, trained, loss, saved, complete in product(
        (0, 1), (True, False), (0.5, None, math.nan), (True, False), (True, False)
    ):
        reading = replace(GOOD, trained=trained, loss=loss, saved=saved)
        found = verdict(reading, Ending(code), complete=complete)
        proven = code == 0 and trained and loss == 0.5 and saved and complete
        assert (found.outcome is Outcome.SUCCEEDED) == proven


def test_every_cause_has_a_first_check() -> None:
    for code, _, _ in _CAUSES:
        assert diagnosis(code) != diagnosis("NO_SUCH_CODE"), code
