"""Spells ComfyUI's refusals and errors in sentences, with a code of ours where the cause is known.

Law: types are matched by several spellings (they differ between versions) and an unknown one is
told in the server's own words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daemon.errors import EngineError
from daemon.wire.comfyui import TEXT_LIMIT, Failure, read_json, text

REASONS_PER_NODE = 20
NODES = 100

_UNKNOWN_CLASS = frozenset({"missing_node_type", "invalid_prompt"})
_CYCLE = frozenset({"dependency_cycle", "exception_during_validation"})
_BROKEN_MODEL = (
    "deserializing header",
    "could not detect model type",
    "vae is invalid",
    "controlnet file is invalid",
    "clip input is invalid",
)
# MPS has no type of its own for it; a single tensor that is too large is an invalid buffer.
_NO_MEMORY = ("out of memory", "invalid buffer size")


def node_error_sentences(body: object) -> Mapping[str, str]:
    """The reasons by node id, from the body of a 400 or of a 200 with ``node_errors``.

    What concerns the prompt as a whole stands under ''. A refusal always has at least one reason.
    """
    whole = body if isinstance(body, Mapping) else {}
    found = accepted_node_errors(whole)
    if found:
        return found
    return {"": _whole_prompt(whole.get("error"))}


def refusal(body: bytes) -> str:
    """The body of a 400 in sentences, whatever it is."""
    try:
        reasons = node_error_sentences(read_json(body, what="/prompt"))
    except EngineError:
        reasons = node_error_sentences({"error": body[:TEXT_LIMIT].decode("utf-8", "replace")})
    return " ".join(f"{reason.rstrip('.')}." for reason in reasons.values())


def accepted_node_errors(body: object) -> Mapping[str, str]:
    """``node_errors`` alone: empty when every output of the prompt was accepted."""
    errors = body.get("node_errors") if isinstance(body, Mapping) else None
    if not isinstance(errors, Mapping):
        return {}
    return {text(node): _node(text(node), told) for node, told in list(errors.items())[:NODES]}


def blame(failure: Failure) -> tuple[str, str]:
    """The code and the sentence of an execution error."""
    code = _code(failure)
    where = f"node {failure.node} ({failure.node_type})" if failure.node else "an unnamed node"
    said = failure.message or "no message"
    return code, f"{_LEADS[code]} {where} raised {failure.exception_type or 'an error'}: {said}"


_LEADS: Mapping[str, str] = {
    "OUT_OF_MEMORY": "The GPU ran out of memory:",
    "DISK_FULL": "The engine's disk is full:",
    "MODEL_BROKEN": "A model file is broken or of another kind than its folder says:",
    "MODEL_MISSING": "A model file vanished while the job ran:",
    "HINT_BROKEN": "The hint image is no picture that the engine can read:",
    "NODE_ERROR": "The engine could not finish the picture:",
}


def _code(failure: Failure) -> str:
    said = failure.message.lower()
    if any(mark in said for mark in _NO_MEMORY) or failure.exception_type.endswith(
        "OutOfMemoryError"
    ):
        return "OUT_OF_MEMORY"
    if "no space left" in said:
        return "DISK_FULL"
    if "Safetensor" in failure.exception_type or any(mark in said for mark in _BROKEN_MODEL):
        return "MODEL_BROKEN"
    if failure.exception_type == "FileNotFoundError" and "model in folder" in said:
        return "MODEL_MISSING"
    if failure.exception_type.endswith("UnidentifiedImageError"):
        return "HINT_BROKEN"
    return "NODE_ERROR"


def _whole_prompt(error: object) -> str:
    if not isinstance(error, Mapping):
        return f"The engine refused the prompt and said: {text(error) or 'nothing'}."
    kind, message = text(error.get("type")), text(error.get("message"))
    extra = error.get("extra_info")
    if kind in _UNKNOWN_CLASS and isinstance(extra, Mapping) and extra.get("class_type"):
        return (
            f"The engine has no node class {text(extra.get('class_type'))!r}; install its pack or"
            " take another template."
        )
    return _sentence(kind, message, text(error.get("details")))


def _node(node: str, told: object) -> str:
    told = told if isinstance(told, Mapping) else {}
    reasons = told.get("errors")
    listed: Sequence[object] = reasons if isinstance(reasons, list) else []
    said = "; ".join(_reason(reason) for reason in listed[:REASONS_PER_NODE])
    return f"Node {node} ({text(told.get('class_type'))}): {said or 'refused without a reason'}"


def _reason(reason: object) -> str:
    if not isinstance(reason, Mapping):
        return text(reason) or "refused without a reason"
    kind, extra = text(reason.get("type")), reason.get("extra_info")
    facts: Mapping[str, object] = extra if isinstance(extra, Mapping) else {}
    name, received = text(facts.get("input_name")), text(facts.get("received_value"))
    match kind:
        case "value_not_in_list":
            return f"{name} = {received!r} is not among the names that the engine offers"
        case "required_input_missing":
            return f"its input {name or text(reason.get('details'))} is not given"
        case _ if kind in _CYCLE and "cycle" in text(reason.get("message")).lower():
            return "its links go round in a circle"
        case _:
            return _sentence(kind, text(reason.get("message")), text(reason.get("details")))


def _sentence(kind: str, message: str, details: str) -> str:
    said = message or kind or "refused without a reason"
    return f"{said} ({details})" if details else said
