"""Spells ComfyUI: prompt bodies out, answers of its server in as frozen values.

Law: whatever the server says, a reader returns a value or raises ``EngineError``; nothing it says
is believed to have a shape, and its texts are clipped. Shapes as of 0.3.64, later ones tolerated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from daemon.errors import EngineError
from daemon.wire.comfyui_messages import cached_nodes, seconds_of

Graph = Mapping[str, object]
"""Nodes by id in API format: ``{"3": {"class_type": ..., "inputs": {...}}}``."""

Ending = Literal["success", "error", "interrupted"]

ENDINGS: Mapping[str, Ending] = {
    "execution_success": "success",
    "execution_error": "error",
    "execution_interrupted": "interrupted",
}

TEXT_LIMIT = 2_000
LIST_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What the server says of itself. ``name`` is comfyui or rehearsal.

    ``mode`` (managed, external), ``commit`` and ``custom_nodes`` are known to who started it only.
    """

    name: str
    version: str
    device: str
    device_type: str
    argv: tuple[str, ...]
    python: str
    torch: str
    os: str
    mode: str = ""
    commit: str = ""
    custom_nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file that a node made: what ``/view`` needs to find it. ``kind``: output, temp, input."""

    node: str
    filename: str
    subfolder: str
    kind: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A node that raised. ``message`` and ``exception_type`` are the server's words."""

    node: str
    node_type: str
    exception_type: str
    message: str


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """An ended prompt. ``graph`` is what was executed, its values as the server coerced them.

    ``ending`` is the last of ``status.messages``; ``failure`` is there when it is ``error``.
    ``cached`` are the nodes whose results were taken from the server's cache; None where it does
    not say. ``seconds`` from the first message to the last, 0 = unknown.
    """

    graph: Graph
    ending: Ending
    failure: Failure | None
    outputs: tuple[OutputFile, ...]
    cached: frozenset[str] | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class QueueView:
    """The prompts on the server, graph by prompt id; ``pending`` in the order of their turns."""

    running: Mapping[str, Graph]
    pending: Mapping[str, Graph]


@dataclass(frozen=True, slots=True)
class Status:
    """The queue changed; ``remaining`` counts what waits and what runs."""

    remaining: int


@dataclass(frozen=True, slots=True)
class Executing:
    """A node starts; ``node`` None: the prompt ended, well or not.

    ``prompt_id`` is missing right after a connection with the client id of a running prompt.
    """

    node: str | None
    prompt_id: str | None


@dataclass(frozen=True, slots=True)
class Progress:
    """A sampler's step ``value`` of ``max`` is done."""

    value: int
    max: int
    prompt_id: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A prompt ended; the history, which may lag a few milliseconds behind, says how."""

    prompt_id: str


@dataclass(frozen=True, slots=True)
class Other:
    """Anything else, to be ignored: custom nodes and later versions send their own."""


Message = Status | Executing | Progress | Ended | Other


def prompt_body(
    graph: Graph, *, prompt_id: str, client_id: str, note: Mapping[str, object]
) -> Mapping[str, object]:
    """The body of POST /prompt. ``note`` is written into the picture under ``nightpress``."""
    return {
        "prompt": graph,
        "prompt_id": prompt_id,
        "client_id": client_id,
        "extra_data": {"extra_pnginfo": {"nightpress": dict(note)}},
    }


def read_json(data: bytes | str, *, what: str) -> object:
    """One JSON document; ``what`` names the request in the error."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise _malformed(what, "is no JSON") from None


def read_facts(answer: object, *, mode: str = "") -> EngineFacts:
    """/system_stats."""
    what = "/system_stats"
    system = a_mapping(a_mapping(answer, what).get("system"), f"{what} system")
    devices = a_list(a_mapping(answer, what).get("devices"), f"{what} devices")
    device = a_mapping(devices[0], f"{what} device") if devices else {}
    return EngineFacts(
        name="rehearsal" if "nightpress_rehearsal" in system else "comfyui",
        version=text(system.get("comfyui_version")),
        device=text(device.get("name")),
        device_type=text(device.get("type")),
        argv=tuple(text(word) for word in a_list(system.get("argv", []), f"{what} argv")[:200]),
        python=text(system.get("python_version")),
        torch=text(system.get("pytorch_version")),
        os=text(system.get("os")),
        mode=mode,
    )


def read_queue(answer: object) -> QueueView:
    """/queue. The server's pending list is a heap; it is sorted here by its numbers."""
    body = a_mapping(answer, "/queue")
    return QueueView(
        running=_prompts(body.get("queue_running"), "/queue queue_running"),
        pending=_prompts(body.get("queue_pending"), "/queue queue_pending"),
    )


def read_history(answer: object, prompt_id: str) -> HistoryEntry | None:
    """/history/{prompt_id}; None when there is no such entry (unknown, waiting, running alike)."""
    what = "/history"
    if prompt_id not in a_mapping(answer, what):
        return None
    entry = a_mapping(a_mapping(answer, what)[prompt_id], what)
    _number, _id, graph = _queue_item(entry.get("prompt"), f"{what} prompt")
    kind, payload = _last_message(entry.get("status"), f"{what} status")
    ending = ENDINGS.get(kind)
    if ending is None:
        raise _malformed(what, f"ends with the message {kind!r}, which says nothing of the outcome")
    return HistoryEntry(
        graph=graph,
        ending=ending,
        failure=_failure(payload) if ending == "error" else None,
        outputs=tuple(
            file
            for node, shown in a_mapping(entry.get("outputs", {}), f"{what} outputs").items()
            for file in _outputs(node, shown)
        )[:LIST_LIMIT],
        cached=cached_nodes(entry.get("status")),
        seconds=seconds_of(entry.get("status")),
    )


def read_uploaded(answer: object) -> str:
    """/upload/image: the name for LoadImage, which is not always the name that was asked for."""
    body = a_mapping(answer, "/upload/image")
    name, subfolder = text(body.get("name")), text(body.get("subfolder"))
    if not name:
        raise _malformed("/upload/image", "names no file")
    return f"{subfolder}/{name}" if subfolder else name


def a_mapping(value: object, what: str) -> Mapping[str, object]:
    """A JSON object, or ``EngineError``."""
    if not isinstance(value, dict):
        raise _malformed(what, f"is {_kind(value)} where an object belongs")
    return value


def a_list(value: object, what: str) -> Sequence[object]:
    """A JSON list, or ``EngineError``."""
    if not isinstance(value, list):
        raise _malformed(what, f"is {_kind(value)} where a list belongs")
    return value


def text(value: object) -> str:
    """The server's text, clipped; numbers as text; '' for anything else."""
    if not isinstance(value, str):
        return str(value) if isinstance(value, int | float) else ""
    return value if len(value) <= TEXT_LIMIT else value[: TEXT_LIMIT - 1] + "…"


def _outputs(node: str, shown: object) -> Sequence[OutputFile]:
    """The files in one node's UI output; a node that shows something else has none."""
    images = shown.get("images") if isinstance(shown, Mapping) else None
    return [
        OutputFile(
            node=text(node),
            filename=text(image.get("filename")),
            subfolder=text(image.get("subfolder")),
            kind=text(image.get("type")),
        )
        for image in (images if isinstance(images, list) else [])[:LIST_LIMIT]
        if isinstance(image, Mapping)
    ]


def _prompts(value: object, what: str) -> Mapping[str, Graph]:
    items = [_queue_item(item, what) for item in a_list(value, what)[:LIST_LIMIT]]
    return {prompt_id: graph for _number, prompt_id, graph in sorted(items, key=lambda i: i[0])}


def _queue_item(value: object, what: str) -> tuple[int | float, str, Graph]:
    """``[number, prompt_id, graph, extra_data, outputs]`` and whatever later versions append."""
    item = a_list(value, what)
    if len(item) < 3 or not isinstance(item[0], int | float) or not isinstance(item[1], str):
        raise _malformed(what, "is no [number, prompt id, graph, ...]")
    return item[0], item[1], a_mapping(item[2], f"{what} graph")


def _last_message(status: object, what: str) -> tuple[str, Mapping[str, object]]:
    messages = a_list(a_mapping(status, what).get("messages"), f"{what} messages")
    last = a_list(messages[-1], what) if messages else []
    if len(last) < 2:
        raise _malformed(what, "has no last message")
    return text(last[0]), a_mapping(last[1], what)


def _failure(payload: Mapping[str, object]) -> Failure:
    return Failure(
        node=text(payload.get("node_id")),
        node_type=text(payload.get("node_type")),
        exception_type=text(payload.get("exception_type")),
        message=text(payload.get("exception_message")).strip(),
    )


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _malformed(what: str, why: str) -> EngineError:
    return EngineError("ENGINE_BAD_ANSWER", f"The server's answer to {what} {why}.")
