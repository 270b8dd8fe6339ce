"""ComfyUI's answers as values: what a real server said, word for word, and what one might say."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import EngineError
from daemon.wire.comfyui import (
    TEXT_LIMIT,
    EngineFacts,
    Failure,
    HistoryEntry,
    OutputFile,
    QueueView,
    prompt_body,
    read_facts,
    read_history,
    read_json,
    read_queue,
    read_uploaded,
)
from tests import needs

ID = "0b8f0c52-6a0a-4a35-8f0e-6f1f6b1f2a10"
GRAPH = {"1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64}}}
STATS = {
    "system": {
        "os": "darwin",
        "comfyui_version": "0.38.1",
        "python_version": "3.12.4",
        "pytorch_version": "2.9.1",
        "argv": ["main.py", "--port", "8188"],
        "a_later_field": {},
    },
    "devices": [{"name": "mps", "type": "mps", "index": None}, {"name": "second"}],
}


def entry(*messages: tuple[str, Mapping[str, object]], **outputs: object) -> dict[str, Any]:
    """A history answer with these last messages."""
    return {
        ID: {
            "prompt": [3, ID, GRAPH, {"client_id": "c"}, ["9"]],
            "outputs": outputs,
            "status": {
                "status_str": "success",
                "completed": True,
                "messages": [["execution_start", {"prompt_id": ID}], *map(list, messages)],
            },
        }
    }


SUCCESS = ("execution_success", {"prompt_id": ID})
IMAGE = {"filename": "0b8f_00001_.png", "subfolder": "nightpress", "type": "output"}


def test_the_prompt_names_itself_and_who_listens_and_takes_a_note_along() -> None:
    """N1.1: always a prompt id of ours and a client id; S3.1: the note ends up in the PNG."""
    body = prompt_body(GRAPH, prompt_id=ID, client_id="c", note={"job": "a_v1"})
    assert body == {
        "prompt": GRAPH,
        "prompt_id": ID,
        "client_id": "c",
        "extra_data": {"extra_pnginfo": {"nightpress": {"job": "a_v1"}}},
    }


def test_the_server_s_facts_are_those_of_its_first_device() -> None:
    assert read_facts(STATS, mode="managed") == EngineFacts(
        name="comfyui",
        version="0.38.1",
        device="mps",
        device_type="mps",
        argv=("main.py", "--port", "8188"),
        python="3.12.4",
        torch="2.9.1",
        os="darwin",
        mode="managed",
    )


def test_the_rehearsal_engine_says_that_it_is_one() -> None:
    """Nothing that rehearsal draws may pass for a picture of ComfyUI's."""
    system = {**STATS["system"], "nightpress_rehearsal": "1"}  # type: ignore[dict-item]
    assert read_facts({**STATS, "system": system}).name == "rehearsal"


def test_an_absent_entry_is_none() -> None:
    """W14: unknown, waiting, running and forgotten look the same."""
    assert read_history({}, ID) is None
    assert read_history(entry(SUCCESS), "another") is None


def test_a_success_has_its_files_and_the_graph_that_was_executed() -> None:
    """N1.5, S3.3"""
    shown = {"images": [IMAGE], "animated": [False]}
    assert read_history(entry(SUCCESS, **{"9": shown, "10": {"text": ["x"]}}), ID) == HistoryEntry(
        graph=GRAPH,
        ending="success",
        failure=None,
        outputs=(OutputFile("9", "0b8f_00001_.png", "nightpress", "output"),),
    )


@pytest.mark.parametrize(
    ("last", "ending"),
    [("execution_error", "error"), ("execution_interrupted", "interrupted")],
)
def test_the_last_message_is_the_outcome_whatever_the_status_says(last: str, ending: str) -> None:
    """N1.5: the first messages and status_str are not looked at."""
    found = read_history(entry(SUCCESS, (last, {"prompt_id": ID})), ID)
    assert found is not None
    assert found.ending == ending


def test_a_failure_names_node_type_exception_and_message() -> None:
    """N1.5"""
    error = {
        "node_id": "7",
        "node_type": "KSampler",
        "exception_type": "RuntimeError",
        "exception_message": "MPS backend out of memory\n",
    }
    found = read_history(entry(("execution_error", error)), ID)
    assert found is not None
    assert found.failure == Failure("7", "KSampler", "RuntimeError", "MPS backend out of memory")


def test_pending_prompts_stand_in_the_order_of_their_turns() -> None:
    """The server's list is a heap."""
    items = [[number, f"p{number}", GRAPH, {}] for number in (1, 5.5, 2, -3)]
    view = read_queue({"queue_running": [[0, "r", GRAPH]], "queue_pending": items})
    assert view == QueueView({"r": GRAPH}, dict.fromkeys(["p-3", "p1", "p2", "p5.5"], GRAPH))
    assert list(view.pending) == ["p-3", "p1", "p2", "p5.5"]


def test_an_uploaded_picture_has_the_name_that_the_server_gave_it() -> None:
    """Other bytes under a taken name are stored under another one."""
    assert read_uploaded({"name": "a (1).png", "subfolder": "", "type": "input"}) == "a (1).png"
    assert read_uploaded({"name": "a.png", "subfolder": "jobs"}) == "jobs/a.png"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {ID: None},
        {ID: {}},
        {ID: {**entry(SUCCESS)[ID], "prompt": [1, ID]}},
        {ID: {**entry(SUCCESS)[ID], "prompt": [None, ID, GRAPH]}},
        {ID: {**entry(SUCCESS)[ID], "status": None}},
        {ID: {**entry(SUCCESS)[ID], "status": {"messages": []}}},
        {ID: {**entry(SUCCESS)[ID], "status": {"messages": [["execution_success"]]}}},
        {ID: {**entry(SUCCESS)[ID], "outputs": []}},
        entry(("execution_cached", {})),
    ],
)
def test_a_malformed_entry_is_an_engine_error(answer: object) -> None:
    with pytest.raises(EngineError, match="/history") as caught:
        read_history(answer, ID)
    assert caught.value.code == "ENGINE_BAD_ANSWER"


@pytest.mark.parametrize("text", ["", "{", "\xff", "[" * 200_000, "9" * 5_000])
def test_what_is_no_json_is_an_engine_error(text: str) -> None:
    with pytest.raises(EngineError, match="/queue is no JSON"):
        read_json(text.encode("latin-1"), what="/queue")


def test_texts_of_the_server_are_clipped() -> None:
    """A failing node repeats all its inputs: 600 kB were seen."""
    error = {"node_id": "7", "exception_message": "x" * 600_000}
    found = read_history(entry(("execution_error", error)), ID)
    assert found is not None
    assert found.failure is not None
    assert len(found.failure.message) == TEXT_LIMIT
    assert found.failure.message.endswith("…")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [ID, "prompt", "outputs", "status", "messages", "queue_running", "devices"]
            ),
            inner,
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_no_answer_makes_a_reader_fall_over(answer: object) -> None:
    """Malformed answers are engine errors, never KeyErrors."""
    for read in (read_facts, read_queue, read_uploaded, lambda value: read_history(value, ID)):
        try:
            read(answer)
        except EngineError as error:
            assert error.code == "ENGINE_BAD_ANSWER"  # noqa: PT017 - either end is fine


@given(json_values)
def test_no_entry_makes_the_reader_fall_over(inside: object) -> None:
    for key in ("prompt", "outputs", "status"):
        try:
            read_history({ID: {**entry(SUCCESS)[ID], key: inside}}, ID)
        except EngineError:
            continue


# What a real server said.


def recordings() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line of every recording, with the file's name."""
    beside = Path(__file__).parents[2].parent / "shared" / "recordings"
    folder = Path(os.environ.get("NIGHTPRESS_RECORDINGS") or beside) / "comfyui"
    for path in sorted(needs.file(folder).glob("*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            yield path.name, json.loads(line)


def answers(path: str, *, method: str = "GET", status: int = 200) -> Iterator[tuple[str, Any]]:
    """Recorded JSON answers to requests below a path, each with the request's full path."""
    asked: dict[str, Any] = {}
    for _, line in recordings():
        match line:
            case {"ch": "http", "dir": "send"}:
                asked = line
            case {"ch": "http", "dir": "recv", "status": int(got), "body": dict(body)}:
                where = asked["path"].removeprefix("/api")
                if got == status and asked["method"] == method and where.startswith(path):
                    yield where, uncut(body)


def uncut(value: Any) -> Any:
    """The recordings leave out graphs, or write dots, where they would have been too long."""
    match value:
        case [int() | float(), str(), "..." | "{...}", *_]:
            return [*value[:2], GRAPH, *value[3:]]
        case {"status": {"messages": _}}:
            return {"prompt": [0, "", GRAPH], **{k: v for k, v in value.items() if v != "..."}}
        case dict():
            return {key: uncut(inner) for key, inner in value.items() if inner != "present"}
        case list():
            return [uncut(inner) for inner in value]
        case _:
            return value


def test_every_recorded_history_can_be_read() -> None:
    """N1.5: each ended well, in an error or by an interrupt, and all three occur."""
    endings, files = set(), 0
    for path, body in answers("/history"):
        ids = [path.removeprefix("/history/")] if path.count("/") == 2 else list(body)
        for prompt_id in ids:
            found = read_history(body, prompt_id)
            assert (found is None) == (prompt_id not in body)
            if found is not None:
                endings.add(found.ending)
                assert (found.failure is not None) == (found.ending == "error")
                files += len(found.outputs)
    assert endings == {"success", "error", "interrupted"}
    assert files >= 20


def test_every_recorded_queue_can_be_read() -> None:
    views = [read_queue(body) for _, body in answers("/queue")]
    assert any(view.running for view in views)
    assert any(len(view.pending) > 1 for view in views)


def test_every_recorded_description_can_be_read() -> None:
    facts = [read_facts(body) for _, body in answers("/system_stats")]
    assert {fact.version for fact in facts} == {"0.3.64"}
    assert all(replace(fact, name="comfyui") == fact and fact.argv for fact in facts)


def test_every_recorded_upload_has_a_name() -> None:
    names = [read_uploaded(body) for _, body in answers("/upload/image", method="POST")]
    assert any("/" in name for name in names)
