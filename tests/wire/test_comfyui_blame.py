"""Refusals and errors in sentences."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.wire.comfyui import Failure, read_history
from daemon.wire.comfyui_blame import accepted_node_errors, blame, node_error_sentences, refusal
from tests.wire.test_comfyui import answers, recordings

UNKNOWN_NAME = {
    "type": "value_not_in_list",
    "message": "Value not in list",
    "details": "ckpt_name: 'no-such.safetensors' not in ['a.safetensors']",
    "extra_info": {"input_name": "ckpt_name", "received_value": "no-such.safetensors"},
}
REFUSED = {
    "error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed"},
    "node_errors": {
        "1": {"errors": [UNKNOWN_NAME], "class_type": "CheckpointLoaderSimple"},
        "7": {"errors": [], "class_type": "KSampler"},
    },
}


def test_a_refusal_tells_each_node_s_reasons() -> None:
    assert node_error_sentences(REFUSED) == {
        "1": "Node 1 (CheckpointLoaderSimple): ckpt_name = 'no-such.safetensors' is not among the"
        " names that the engine offers",
        "7": "Node 7 (KSampler): refused without a reason",
    }


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            {
                "type": "missing_node_type",
                "message": "Node missing",
                "extra_info": {"class_type": "FaceDetailer"},
            },
            "no node class 'FaceDetailer'",
        ),
        (
            {"type": "invalid_prompt", "message": "node X does not exist.", "details": "ID '#1'"},
            "node X does not exist. (ID '#1')",
        ),
        ({"type": "prompt_no_outputs", "message": "Prompt has no outputs"}, "has no outputs"),
        ({"type": "something_new"}, "something_new"),
        ("plain text", "said: plain text"),
        (None, "said: nothing"),
    ],
)
def test_what_is_wrong_with_the_whole_prompt_is_told_by_several_types(
    error: object, said: str
) -> None:
    """Later versions have other types for the same."""
    assert said in node_error_sentences({"error": error, "node_errors": {}})[""]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ({"type": "required_input_missing", "extra_info": {"input_name": "cfg"}}, "input cfg is"),
        ({"type": "required_input_missing", "details": "cfg"}, "input cfg is not given"),
        ({"type": "dependency_cycle", "message": "Cycle detected"}, "round in a circle"),
        ({"type": "new_kind", "message": "Odd", "details": "here"}, "Odd (here)"),
        ("only text", "only text"),
        (None, "refused without a reason"),
    ],
)
def test_a_reason_is_a_sentence(reason: object, said: str) -> None:
    body = {"node_errors": {"7": {"errors": [reason], "class_type": "KSampler"}}}
    assert said in node_error_sentences(body)["7"]


def test_an_answer_without_node_errors_was_accepted_whole() -> None:
    """N1.5: a 200 may carry errors of one output."""
    assert accepted_node_errors({"prompt_id": "p", "number": 3, "node_errors": {}}) == {}
    assert list(accepted_node_errors({"node_errors": {"9": {"errors": []}}})) == ["9"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[]", b"{}"])
def test_a_refusal_in_another_form_is_a_refusal_still(body: bytes) -> None:
    assert refusal(body).startswith("The engine refused the prompt")


def failure(exception_type: str, message: str) -> Failure:
    return Failure("7", "KSampler", exception_type, message)


@pytest.mark.parametrize(
    ("exception_type", "message", "code"),
    [
        ("RuntimeError", "MPS backend out of memory (MPS allocated: 14.2 GB)", "OUT_OF_MEMORY"),
        ("torch.OutOfMemoryError", "Allocation on device", "OUT_OF_MEMORY"),
        ("RuntimeError", "Invalid buffer size: 19.38 GiB", "OUT_OF_MEMORY"),
        ("safetensors._safetensors_rust.SafetensorError", "header too small", "MODEL_BROKEN"),
        ("RuntimeError", "ERROR: clip input is invalid: None", "MODEL_BROKEN"),
        ("ValueError", "Error while deserializing header: /x", "MODEL_BROKEN"),
        ("RuntimeError", "ERROR: Could not detect model type of: /x", "MODEL_BROKEN"),
        ("RuntimeError", "ERROR: VAE is invalid: None", "MODEL_BROKEN"),
        ("RuntimeError", "ERROR: controlnet file is invalid and does not", "MODEL_BROKEN"),
        ("FileNotFoundError", "Model in folder 'x' with filename 'y' not found.", "MODEL_MISSING"),
        ("PIL.UnidentifiedImageError", "cannot identify image file", "HINT_BROKEN"),
        ("FileNotFoundError", "[Errno 2]", "NODE_ERROR"),
        ("", "", "NODE_ERROR"),
    ],
)
def test_an_error_has_a_code_where_the_cause_is_known(
    exception_type: str, message: str, code: str
) -> None:
    """N1.5: on MPS memory runs out as a plain RuntimeError."""
    found, said = blame(failure(exception_type, message))
    assert found == code
    assert "node 7 (KSampler)" in said


@given(st.text(), st.text())
def test_every_error_has_a_sentence(exception_type: str, message: str) -> None:
    assert blame(failure(exception_type, message))[1]


def test_every_recorded_refusal_has_its_reasons() -> None:
    bodies = [body for _, body in answers("/prompt", method="POST", status=400)]
    for body in bodies:
        sentences = node_error_sentences(body)
        assert sentences
        assert all(sentences.values())
        assert refusal(json.dumps(body).encode()).endswith(".")
    assert len(bodies) > 20


RECORDED: Mapping[str, Mapping[tuple[str, str], str]] = {
    "d_execution_error": {
        ("CheckpointLoaderSimple", "Error while deserializing header: inv"): "MODEL_BROKEN",
        ("LoraLoader", "Error while deserializing header: hea"): "MODEL_BROKEN",
        ("SaveImage", "**** ERROR: Saving image outside the "): "NODE_ERROR",
        ("VAEDecode", "ERROR: VAE is invalid: None\n\nIf the V"): "MODEL_BROKEN",
        ("BenchRaise", "boom"): "NODE_ERROR",
        ("BenchRaise", "boom\nThis error means you ran out of "): "OUT_OF_MEMORY",
        ("BenchRaise", "MPS backend out of memory (MPS alloca"): "OUT_OF_MEMORY",
    },
    "u_wrong_kind_of_file": {
        ("CheckpointLoaderSimple", "ERROR: Could not detect model type of"): "MODEL_BROKEN",
        ("CheckpointLoaderSimple", "Error while deserializing header: hea"): "MODEL_BROKEN",
        ("CheckpointLoaderSimple", "Error while deserializing header: inc"): "MODEL_BROKEN",
        ("VAELoader", "ERROR: VAE is invalid: None\n\nIf the V"): "MODEL_BROKEN",
        ("ControlNetLoader", "ERROR: controlnet file is invalid and"): "MODEL_BROKEN",
    },
}
"""Node class and the beginning of the message -> the code, by recording."""


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_error_has_its_cause(name: str) -> None:
    """N1.5"""
    failures = [failure for recording, failure in recorded_failures() if recording == name]
    found = {(said.node_type, said.message[:37]): blame(said)[0] for said in failures}
    assert found == RECORDED[name]


def test_no_recorded_error_is_told_without_its_node() -> None:
    told = [blame(failure)[1] for _, failure in recorded_failures()]
    assert len(told) > 20
    assert [said for said in told if "unnamed node" in said] == []


def test_an_error_in_a_recorded_history_has_its_cause_too() -> None:
    codes = set()
    for path, body in answers("/history/"):
        found = read_history(body, path.removeprefix("/history/"))
        if found is not None and found.failure is not None:
            codes.add(blame(found.failure)[0])
    assert {"OUT_OF_MEMORY", "MODEL_BROKEN", "NODE_ERROR"} <= codes


NOTED = re.compile(r"-> execution_error: node (\S+) (\w+): ([\w.]+): (.*)", re.DOTALL)


def recorded_failures() -> Iterator[tuple[str, Failure]]:
    """Every execution error on a recorded socket, or noted beside; with the recording's name."""
    for file, line in recordings():
        match line:
            case {"msg": {"type": "execution_error", "data": dict(data)}}:
                message = data["exception_message"].strip()
                told = (data["node_id"], data["node_type"], data["exception_type"], message)
            case {"ch": "note", "text": str(text)} if noted := NOTED.fullmatch(text):
                told = (noted[1], noted[2], noted[3], noted[4].strip())
            case _:
                continue
        yield file.removesuffix(".jsonl"), Failure(*told)
