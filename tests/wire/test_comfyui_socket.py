"""Socket messages as values."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.wire.comfyui import ENDINGS, Ended, Executing, Message, Other, Progress, Status
from daemon.wire.comfyui_socket import read_message
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
        (message("progress", value=3, max=20, node="7", prompt_id="p"), Progress(3, 20, "p")),
        (message("progress", value=3.0, max=1e99, node=7), Progress(3, 0, "")),
        (message("executed", node="9", output={"images": [IMAGE]}, prompt_id="p"), Other()),
        (message("execution_success", prompt_id="p"), Ended("p")),
        (message("execution_error", prompt_id="p", node_id="7"), Ended("p")),
        (message("execution_interrupted", prompt_id="p"), Ended("p")),
        (message("progress_state", nodes={}), Other()),
        (message("somebodys.node", x=1), Other()),
        ('{"type": "status"}', Other()),
        ('{"type": "status", "data": {"status": null}}', Other()),
        ("[]", Other()),
        ('{"type": 7}', Other()),
        ("nonsense", Other()),
        ("[" * 200_000, Other()),
    ],
)
def test_a_message_is_the_value_it_says(raw: str, value: Message) -> None:
    """N1.2: whose prompt it is stays with it. N1.5: an end is said, and not by ``executing``."""
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
            known = line["msg"]["type"] in {"status", "executing", "progress", *ENDINGS}
            assert isinstance(value, Other) != known, line
            seen[type(value).__name__] += 1
    assert set(seen) == {"Status", "Executing", "Progress", "Ended", "Other"}
