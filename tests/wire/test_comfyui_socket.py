"""Socket messages as values."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.wire.comfyui import (
    Ended,
    Executed,
    Executing,
    Message,
    Other,
    OutputFile,
    Progress,
    Status,
)
from daemon.wire.comfyui_socket import UNREADABLE, read_message
from tests.wire.test_comfyui import IMAGE, recordings


def message(kind: str, **data: object) -> str:
    return json.dumps({"type": kind, "data": data})


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (message("status", status={"exec_info": {"queue_remaining": 2}}, sid="c"), Status(2)),
        (message("executing", node="7", display_node="7", prompt_id="p"), Executing("7", "p")),
        (message("executing", node=None, prompt_id="p"), Executing(None, "p")),
        (message("executing", node="7"), Executing("7", None)),
        (message("progress", value=3, max=20, node="7", prompt_id="p"), Progress(3, 20, "7", "p")),
        (message("progress", value=3.0, max=1e99, node=7), Progress(3, 0, "7", "")),
        (
            message("executed", node="9", output={"images": [IMAGE]}, prompt_id="p"),
            Executed("9", "p", (OutputFile("9", "0b8f_00001_.png", "nightpress", "output"),)),
        ),
        (message("executed", node="9", output=None, prompt_id="p"), Executed("9", "p", ())),
        (message("execution_success", prompt_id="p"), Ended("success", "p")),
        (message("execution_error", prompt_id="p", node_id="7"), Ended("error", "p")),
        (message("execution_interrupted", prompt_id="p"), Ended("interrupted", "p")),
        (message("progress_state", nodes={}), Other("progress_state")),
        (message("somebodys.node", x=1), Other("somebodys.node")),
        ('{"type": "status"}', Other("status")),
        ('{"type": "status", "data": {"status": null}}', UNREADABLE),
        ("[]", UNREADABLE),
        ('{"type": 7}', UNREADABLE),
        ("nonsense", UNREADABLE),
        ("[" * 200_000, UNREADABLE),
    ],
)
def test_a_message_is_the_value_it_says(raw: str, value: Message) -> None:
    """N1.2: whose prompt it is stays with it. N1.5: an end says how, and ``executing`` does not."""
    assert read_message(raw) == value


fields = ["prompt_id", "node", "value", "max", "status", "exec_info", "queue_remaining", "output"]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(fields), inner),
)
kinds = st.sampled_from(["status", "executing", "progress", "executed", "execution_error", "x"])


@given(kinds, anything)
def test_no_message_is_an_error(kind: str, data: object) -> None:
    read_message(json.dumps({"type": kind, "data": data}))


def test_every_recorded_message_can_be_read() -> None:
    """N1.1, N1.5"""
    seen: Counter[str] = Counter()
    for _, line in recordings():
        if line["ch"] == "ws" and line["dir"] == "recv" and line["kind"] == "text":
            value = read_message(json.dumps(line["msg"]))
            assert value != UNREADABLE, line
            seen[type(value).__name__] += 1
    assert set(seen) == {"Status", "Executing", "Progress", "Executed", "Ended", "Other"}
