"""Plays the client's side of a recording against a rehearsal server and compares what comes back.

What is compared: statuses, bodies and socket messages with their order, but for what depends on
the clock: progress in the middle of sampling, where among other messages a ``status`` stands, and
how far counters had come before the recording began.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse
from PIL import Image

from tests.rehearsal.stand import Json, Stand, until

_BLANKED = ("tooltip", "description", "timestamp", "traceback", "argv", "devices")
_OF_THE_MACHINE = re.compile(r"(torch_)?v?ram_\w+|\w+_version|os")
_ORIGINAL_LISTS = ("executed", "current_outputs")


def recording(name: str) -> list[Json]:
    """The lines of the recording whose name starts so; skips the test where there is none."""
    beside = Path(__file__).parents[2].parent / "shared" / "recordings"
    folder = Path(os.environ.get("NIGHTPRESS_RECORDINGS") or beside) / "comfyui"
    found = sorted(folder.glob(f"{name}_*.jsonl"))
    if not found:
        pytest.skip(f"no recording of a real ComfyUI is at hand ({name}_*.jsonl)")
    return [json.loads(line) for line in found[0].read_text("utf-8").splitlines()]


class Replay:
    """One recording against one server. ``heard``: our messages of each connection."""

    def __init__(self, stand: Stand, lines: list[Json]) -> None:
        self.stand = stand
        self.lines = lines
        self.ids: dict[str, str] = {}
        self.sockets: dict[str, ClientWebSocketResponse] = {}
        self.heard: dict[str, list[Json]] = {}
        self.told: dict[str, list[Json]] = {}
        self.answers: list[tuple[str, Any, Any]] = []
        self._tasks: list[asyncio.Task[None]] = []
        stand.rehearsal._number = _first_number(lines)

    async def play(self, before: Mapping[str, Callable[[], None]] | None = None) -> None:
        """Plays everything, then compares everything."""
        pending: Json = {}
        for line in self.lines:
            match line["ch"], line.get("dir"):
                case "note", _:
                    for start, prepare in (before or {}).items():
                        if line["text"].startswith(start):
                            prepare()
                case "http", "send":
                    await self._catch_up()
                    pending = line
                case "http", "recv":
                    await self._request(pending, line)
                case "ws", "event":
                    await self._event(line)
                case "ws", "recv" if line["kind"] == "text":
                    self.told[line["conn"]].append(line["msg"])
                case "ws", "send":
                    await self._catch_up()
                    said = line["msg"]
                    text = said if isinstance(said, str) else json.dumps(said)
                    await self.sockets[line["conn"]].send_str(text)
        await self._catch_up()
        for name, told in self.told.items():
            if _joined_late(told) and not self.sockets[name].closed:
                await self._settle(name)
        for task in self._tasks:
            task.cancel()
        self._compare()

    async def _event(self, line: Json) -> None:
        name = line["conn"]
        await self._catch_up()
        match line["event"]:
            case "connect":
                hello = self._hello(name)
                if hello["data"]["status"]["exec_info"]["queue_remaining"] == 0:
                    await self.stand.idle()
                self.sockets[name] = await self.stand.client.ws_connect(line["url"])
                self.heard[name], self.told[name] = [], []
                self._tasks.append(asyncio.create_task(self._listen(name)))
            case "close by client":
                await self._settle(name)
                await self.sockets[name].close()
            case "tcp abort by client":
                transport = self.sockets[name].get_extra_info("ssl_object")
                assert transport is None
                await self.sockets[name].close()

    def _hello(self, name: str) -> Json:
        heard = (x for x in self.lines if x.get("conn") == name and x.get("dir") == "recv")
        return dict(next(heard)["msg"])

    async def _listen(self, name: str) -> None:
        async for message in self.sockets[name]:
            self.heard[name].append(json.loads(message.data))

    async def _catch_up(self) -> None:
        """Waits until every open connection heard what the recorded one had heard by now."""
        for name, told in self.told.items():
            if self.sockets[name].closed:
                continue

            async def there(name: str = name, told: list[Json] = told) -> bool:
                return _is_as_far(self.heard[name], told)

            if not _joined_late(told):
                await until(there)

    async def _settle(self, name: str) -> None:
        due = _statuses(self.told[name])

        # Who joined late is not waited for message by message; but it does hear the same ending.
        last = _lasting(self.told[name])[-1]["type"] if _joined_late(self.told[name]) else ""

        async def there() -> bool:
            ended = [message["type"] for message in _lasting(self.heard[name])[-1:]]
            return (not last or ended == [last]) and _statuses(self.heard[name]) >= due

        await until(there)

    async def _request(self, sent: Json, received: Json) -> None:
        path = self._with_our_ids(sent["path"])
        if path.startswith("/history/") and received["body"] != {}:
            await self.stand.entry(path.removeprefix("/history/"))
        if "form" in sent:
            status, body = await self._upload(sent["form"])
            kind = ""
        else:
            content = sent.get("raw_body")
            if "body" in sent:
                content = self._with_our_ids(json.dumps(sent["body"]))
            request = self.stand.client.request(sent["method"], path, data=content)
            async with request as answer:
                status, kind = answer.status, answer.headers.get("Content-Type", "")
                json_inside = kind.startswith("application/json")
                body = await answer.json() if json_inside else None
        where = f"{sent['method']} {sent['path']}"
        assert status == received["status"], (where, body)
        if kind or not received["length"]:
            assert kind.split(";")[0] == received["content_type"].split(";")[0] or not kind, where
        if isinstance(received["body"], dict | list):
            self._learn_id(received["body"], body)
            self.answers.append((where, received["body"], body))

    async def _upload(self, form: Mapping[str, str]) -> tuple[int, Any]:
        fields = {key: value for key, value in form.items() if key not in ("image", "file")}
        match = re.fullmatch(r"<file (.+), (\d+) bytes>", form.get("image", ""))
        assert match is not None, form
        return await self.stand.upload(match[1], _picture(int(match[2])), **fields)

    def _learn_id(self, recorded: Any, ours: Any) -> None:
        if isinstance(recorded, dict) and "prompt_id" in recorded:
            self.ids[recorded["prompt_id"]] = ours["prompt_id"]

    def _with_our_ids(self, text: str) -> str:
        for recorded, ours in self.ids.items():
            text = text.replace(recorded, ours) if len(recorded) > 8 else text
        return text.replace("$BASE", str(self.stand.base))

    def _compare(self) -> None:
        for where, recorded, ours in self.answers:
            differences = list(self._differences(recorded, ours, where))
            assert not differences, differences
        for name, told in self.told.items():
            late = _joined_late(told)
            recorded, ours = _lasting(told), _lasting(self.heard[name])
            if late:
                # Who joins in the middle hears the same ending, from a later or earlier node on.
                assert ours[1] == {"type": "executing", "data": {"node": ours[1]["data"]["node"]}}
                recorded, ours = recorded[2:], ours[2:]
                shorter = min(len(recorded), len(ours))
                recorded, ours = recorded[-shorter:], ours[-shorter:]
            kinds = [m["type"] for m in recorded]
            assert [m["type"] for m in ours] == kinds, f"connection {name}"
            for index, pair in enumerate(zip(recorded, ours, strict=True)):
                differences = list(self._differences(*pair, f"{name}[{index}]"))
                assert not differences, differences
            if not late:
                assert _statuses(self.heard[name]) == _statuses(told), f"connection {name}"

    def _differences(self, recorded: Any, ours: Any, at: str) -> Iterator[str]:
        match recorded, ours:
            case dict(), dict():
                theirs = {self.ids.get(key, key) for key in recorded}
                if theirs != ours.keys() - _more_than_recorded(recorded):
                    yield f"{at}: {theirs} became {set(ours)}"
                    return
                for key, value in recorded.items():
                    if not (key in _BLANKED or _OF_THE_MACHINE.fullmatch(key)):
                        yield from self._differences(
                            _sorted_where_loose(key, value),
                            _sorted_where_loose(key, ours[self.ids.get(key, key)]),
                            f"{at}.{key}",
                        )
            case list(), list() if len(recorded) == len(ours):
                for index, pair in enumerate(zip(recorded, ours, strict=True)):
                    yield from self._differences(*pair, f"{at}[{index}]")
            case str(), _ if _is_cut(recorded):
                return
            case str(), str():
                if _plain(self._with_our_ids(recorded)) != _plain(ours):
                    yield f"{at}: {recorded!r} became {ours!r}"
            case _:
                if recorded != ours or type(recorded) is not type(ours):
                    yield f"{at}: {recorded!r} became {ours!r}"


def _first_number(lines: list[Json]) -> int:
    """Where the server's counter stood: refused prompts were counted, bodies of no JSON not."""
    posts = 0
    sent: Json = {}
    for line in lines:
        if line["ch"] == "http" and line["dir"] == "send":
            sent = line
        elif line["ch"] == "http" and sent.get("path") == "/prompt" and sent["method"] == "POST":
            number = line["body"].get("number") if isinstance(line["body"], dict) else None
            if type(number) is int:
                return number - posts
            posts += 1
    return 0


def _lasting(messages: list[Json]) -> list[Json]:
    """The messages whose order does not depend on the clock; the hello is one of them."""
    return [m for m in messages if not _is_passing(m)]


def _is_passing(message: Json) -> bool:
    kind, data = message["type"], message["data"]
    if kind == "progress_state":
        # A bar counts in integers; a node without one goes from 0.0 to 1.0.
        return any(n["state"] == "running" and n["value"] for n in data["nodes"].values())
    return kind == "progress" or (kind == "status" and "sid" not in data)


def _is_as_far(heard: list[Json], told: list[Json]) -> bool:
    lasting, due = len(_lasting(heard)), len(_lasting(told))
    if lasting < due or _statuses(heard) < _statuses(told):
        return False
    mid_run = bool(told) and told[-1]["type"] == "progress"
    sampling = any(m["type"] == "progress" for m in _since_lasting(heard))
    return lasting > due or not mid_run or sampling


def _since_lasting(messages: list[Json]) -> list[Json]:
    tail = list(messages)
    while tail and any(not _is_passing(m) for m in tail):
        tail.pop(0)
    return tail


def _statuses(messages: list[Json]) -> int:
    return sum(m["type"] == "status" for m in messages)


def _joined_late(told: list[Json]) -> bool:
    return len(told) > 1 and "node" in told[1]["data"] and "prompt_id" not in told[1]["data"]


def _sorted_where_loose(key: str, value: Any) -> Any:
    if key in _ORIGINAL_LISTS and isinstance(value, list):
        return sorted(map(str, value))
    if key == "current_inputs":
        return sorted(value)
    if key == "output_tooltips":
        return len(value)
    return value


def _more_than_recorded(recorded: Json) -> set[str]:
    """Keys that ours has beyond the recorded ones: our mark, and what the recorder left out."""
    if "comfyui_version" in recorded:
        return {"nightpress_rehearsal"}
    return {"prompt", "meta"} if recorded.keys() == {"status", "outputs"} else set()


def _is_cut(text: str) -> bool:
    return (
        text in ("...", "{...}")
        or "[trimmed" in text
        or re.fullmatch("[0-9a-f]{32}", text) is not None
    )


def _plain(text: str) -> str:
    """Without counters, folders and the wording that two parsers of JSON do not share."""
    text = re.sub(r"_\d{5}_", "_N_", text)
    text = re.sub(r"temp_[a-z]{5}", "temp_X", text)
    text = re.sub(r"\n (full_output_folder|\s*output_dir|\s*commonpath): .*", r"\n \1", text)
    text = re.sub(r"^cannot identify image file .*", "cannot identify image file", text)
    text = re.sub(r"expected \w+ at line .*", "", text)
    return re.sub(r"\d{4}-\d\d-\d\d_\d{6}", "DATE", text)


def _picture(size_bytes: int) -> bytes:
    """A picture that stands for the recorded file of that size; very few bytes are none."""
    if size_bytes < 20:
        return b"no image!"
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (size_bytes, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def up_to(lines: list[Json], note: str) -> list[Json]:
    """The lines before the note that starts so."""
    for index, line in enumerate(lines):
        if line["ch"] == "note" and line["text"].startswith(note):
            return lines[:index]
    raise AssertionError(f"no note starts with {note!r}")
