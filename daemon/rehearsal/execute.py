"""Rehearsal room: the execution of one prompt, its cache, and the order of what it reports.

Order of one successful node, observed: progress_state (running), executing, its progress,
executed where it has something to show, progress_state (finished). A cached output node reports
executed and progress_state only; other cached nodes report nothing.
"""

import hashlib
import json
import threading
import time
import traceback
from collections.abc import Mapping
from typing import Any

from daemon.rehearsal.actions import Call, Done, Stage, changed_mark, perform
from daemon.rehearsal.nodes import CLASSES
from daemon.rehearsal.queue import Item, Outcome
from daemon.rehearsal.schedule import Schedule, is_link

Prompt = dict[str, Any]

_ALIEN_NAMES = {
    "SafetensorError": "safetensors._safetensors_rust.SafetensorError",
    "UnidentifiedImageError": "PIL.UnidentifiedImageError",
    "UnpicklingError": "_pickle.UnpicklingError",
}


class Interrupted(Exception):
    """The running prompt was asked to end."""


def signature(prompt: Prompt, node_id: str, stage: Stage, known: dict[str, str]) -> str:
    """The cache key of a node: class, constants and those of all ancestors; ids do not matter.

    A link that leads nowhere makes a key of its own; such a node never runs.
    """
    if node_id not in known:
        known[node_id] = f"unresolved {node_id}"
        node = prompt.get(node_id, {})
        name, inputs = node.get("class_type", ""), node.get("inputs", {})
        parts: dict[str, Any] = {}
        for key, value in inputs.items():
            linked = is_link(value)
            parts[key] = (
                {"from": signature(prompt, value[0], stage, known), "slot": value[1]}
                if linked
                else value
            )
        mark = changed_mark(name, inputs, stage.layout)
        text = json.dumps([name, mark, parts], sort_keys=True)
        known[node_id] = hashlib.sha256(text.encode()).hexdigest()
    return known[node_id]


class Executor:
    """Runs prompts one after another and keeps the results that the latest one could use."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._cache: dict[str, Done] = {}
        self._interrupt = threading.Event()

    def interrupt(self) -> None:
        """Asks the running prompt to end; without one it has no effect."""
        self._interrupt.set()

    def forget(self) -> None:
        """Empties the cache."""
        self._cache.clear()

    def run(self, item: Item) -> Outcome:
        """Runs one prompt to its end, whatever the end is."""
        self._interrupt.clear()
        run = _Run(self._stage, self._cache, self._interrupt, item)
        # Extra data that is no object fails here, outside every node: the end of the worker.
        self._stage.switchboard.client_id = item[3].get("client_id")
        try:
            return run.play()
        finally:
            self._stage.switchboard.node_id = None


class _Run:
    """One prompt while it runs."""

    def __init__(
        self, stage: Stage, cache: dict[str, Done], interrupt: threading.Event, item: Item
    ) -> None:
        self.stage = stage
        self.cache = cache
        self.interrupt = interrupt
        _, self.prompt_id, self.prompt, self.extra, self.targets = item
        known: dict[str, str] = {}
        self.keys = {n: signature(self.prompt, n, stage, known) for n in self.prompt}
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.progress: dict[str, dict[str, Any]] = {}
        self.ui: dict[str, Any] = {}
        self.executed: list[str] = []

    def play(self) -> Outcome:
        self._note("execution_start", {"prompt_id": self.prompt_id})
        for stale in self.cache.keys() - set(self.keys.values()):
            del self.cache[stale]
        cached = [node_id for node_id in self.prompt if self._is_cached(node_id)]
        self._note("execution_cached", {"nodes": cached, "prompt_id": self.prompt_id})
        schedule = Schedule(self.prompt, self.targets, self._is_cached)
        success = all(self._step(node_id) for node_id in schedule)
        if success:
            self._note("execution_success", {"prompt_id": self.prompt_id})
        meta = {node_id: _meta(node_id) for node_id in self.ui}
        return Outcome(success, self.messages, dict(self.ui), meta)

    def _is_cached(self, node_id: str) -> bool:
        return self.keys.get(node_id) in self.cache

    def _step(self, node_id: str) -> bool:
        try:
            if self._is_cached(node_id):
                self._serve_from_cache(node_id)
            else:
                self._perform(node_id)
        except Interrupted:
            self._note("execution_interrupted", self._where(node_id), everywhere=True)
            return False
        except Exception as error:  # noqa: BLE001 - whatever a node raises is its execution_error.
            self._note("execution_error", self._failure(node_id, error))
            return False
        return True

    def _serve_from_cache(self, node_id: str) -> None:
        ui = self.cache[self.keys[node_id]].ui
        self._tell_executed(node_id, ui)
        self._set_progress(node_id, 1, 1, "finished")

    def _perform(self, node_id: str) -> None:
        board = self.stage.switchboard
        self._set_progress(node_id, 0.0, 1.0, "running")
        if board.client_id is not None:
            board.node_id = node_id
            self._tell("executing", {"node": node_id, "display_node": node_id})
        self._stop_if_asked()
        node = self.prompt[node_id]
        call = Call(
            stage=self.stage,
            inputs=self._resolve(node["inputs"]),
            prompt=self.prompt,
            extra_pnginfo=self.extra.get("extra_pnginfo"),
            tick=lambda value, total: self._tick(node_id, value, total),
        )
        done = perform(node["class_type"], call)
        self.cache[self.keys[node_id]] = done
        self.executed.append(node_id)
        if done.ui is not None:
            self._tell_executed(node_id, done.ui)
        top = self.progress[node_id]["max"]
        self._set_progress(node_id, top, top, "finished")

    def _resolve(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: self.cache[self.keys[value[0]]].outputs[value[1]] if is_link(value) else value
            for name, value in inputs.items()
        }

    def _all_inputs(self, node_id: str) -> dict[str, Any]:
        node = self.prompt[node_id]
        hidden = {"prompt": self.prompt, "extra_pnginfo": self.extra.get("extra_pnginfo")}
        seen = hidden if CLASSES[node["class_type"]].saves else {}
        return self._resolve(node["inputs"]) | seen

    def _tick(self, node_id: str, value: int, total: int) -> None:
        self._stop_if_asked()
        self._set_progress(node_id, value, total, "running")
        data = {"value": value, "max": total, "prompt_id": self.prompt_id, "node": node_id}
        self.stage.switchboard.post("progress", data, self.stage.switchboard.client_id)

    def _stop_if_asked(self) -> None:
        if self.interrupt.is_set():
            self.interrupt.clear()
            raise Interrupted

    def _set_progress(self, node_id: str, value: float, top: float, state: str) -> None:
        self.progress[node_id] = {
            "value": value,
            "max": top,
            "state": state,
            "node_id": node_id,
            "prompt_id": self.prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }
        # Without a client id progress goes to every socket; nothing else of a run does.
        data = {"prompt_id": self.prompt_id, "nodes": dict(self.progress)}
        self.stage.switchboard.post("progress_state", data, self.stage.switchboard.client_id)

    def _tell_executed(self, node_id: str, ui: dict[str, Any] | None) -> None:
        if ui is not None:
            self.ui[node_id] = ui
        self._tell("executed", {"node": node_id, "display_node": node_id, "output": ui})

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        board = self.stage.switchboard
        if board.client_id is not None:
            board.post(kind, {**data, "prompt_id": self.prompt_id}, board.client_id)

    def _note(self, kind: str, data: dict[str, Any], *, everywhere: bool = False) -> None:
        data = {**data, "timestamp": int(time.time() * 1000)}
        self.messages.append((kind, data))
        board = self.stage.switchboard
        if board.client_id is not None or everywhere:
            board.post(kind, data, board.client_id)

    def _where(self, node_id: str) -> dict[str, Any]:
        return {
            "prompt_id": self.prompt_id,
            "node_id": node_id,
            "node_type": self.prompt[node_id]["class_type"],
            "executed": list(self.executed),
        }

    def _failure(self, node_id: str, error: Exception) -> dict[str, Any]:
        name = type(error).__name__
        return {
            **self._where(node_id),
            "exception_message": f"{error}\n",
            "exception_type": _ALIEN_NAMES.get(name, name),
            "traceback": traceback.format_tb(error.__traceback__),
            "current_inputs": {k: [_told(v)] for k, v in self._all_inputs(node_id).items()},
            "current_outputs": list(self.prompt),
        }


def _told(value: Any) -> Any:
    """An input as an error names it: plain values as they are, others as their Python text."""
    return value if value is None or isinstance(value, int | float | str) else str(value)


def _meta(node_id: str) -> dict[str, Any]:
    return {
        "node_id": node_id,
        "display_node": node_id,
        "parent_node": None,
        "real_node_id": node_id,
    }
