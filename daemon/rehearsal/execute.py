"""Rehearsal room: the worker thread, which executes prompts, its cache, and what it reports when.

Order of one successful node, observed: progress_state (running), executing, its progress,
executed where it has something to show, progress_state (finished). A cached output node reports
executed and progress_state only; other cached nodes report nothing. At the end history comes
first, then ``status``, then ``executing`` with no node. Whatever goes wrong outside a node ends
the thread, and nobody notices but by the queue standing still.
"""

import hashlib
import json
import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from daemon.rehearsal.actions import Call, Done, Stage, changed_mark, perform
from daemon.rehearsal.nodes import CLASSES
from daemon.rehearsal.queue import Item, PromptQueue

Prompt = dict[str, Any]

_ALIEN_NAMES = {
    "SafetensorError": "safetensors._safetensors_rust.SafetensorError",
    "UnidentifiedImageError": "PIL.UnidentifiedImageError",
    "UnpicklingError": "_pickle.UnpicklingError",
}
_log = logging.getLogger(__name__)


class Interrupted(Exception):
    """The running prompt was asked to end."""


class Worker:
    """The thread that runs prompts, and the results that the latest one could use."""

    def __init__(self, stage: Stage, queue: PromptQueue) -> None:
        self._stage = stage
        self._queue = queue
        self._cache: dict[str, Done] = {}
        self._interrupt = threading.Event()
        self._forget = threading.Event()
        self._thread = threading.Thread(target=self._work, name="prompt worker", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def interrupt(self) -> None:
        """Asks the running prompt to end; without one it has no effect."""
        self._interrupt.set()

    def forget(self) -> None:
        """Empties the cache before the next prompt, after the running one if there is one."""
        self._forget.set()

    def stop(self, timeout_s: float) -> None:
        """Asks the thread to end and waits that long for it."""
        self._queue.close()
        self.interrupt()
        self._thread.join(timeout_s)

    def _work(self) -> None:
        try:
            while (item := self._queue.take()) is not None:
                if self._stage.faults.take("dead_worker"):
                    return
                self._execute(item)
        except Exception:  # noqa: BLE001 - see the law above.
            # The real worker thread dies of this too; only its log tells.
            _log.exception("the worker has ended")

    def _execute(self, item: Item) -> None:
        faults, board = self._stage.faults, self._stage.switchboard
        began = time.perf_counter()
        self._interrupt.clear()
        if self._forget.is_set():
            self._forget.clear()
            self._cache.clear()
        run = _Run(self._stage, self._cache, self._interrupt, item)
        # Extra data that is no object fails here, outside every node: the end of the worker.
        board.client_id = item[3].get("client_id")
        try:
            entry = run.play()
        finally:
            board.node_id = None
        if entry["status"]["completed"]:
            faults.die_if("after_success")
        time.sleep(faults.number("late_history"))
        if faults.number("gc_stall"):
            # A full garbage collection stops the loop, so that this prompt's end is told late.
            board.call(time.sleep, faults.number("gc_stall"))
        self._queue.finish(item[1], None if faults.take("lose_history") else entry)
        if board.client_id is not None:
            board.post("executing", {"node": None, "prompt_id": item[1]}, board.client_id)
        _log.info("Prompt executed in %.2f seconds", time.perf_counter() - began)


class _Run:
    """One prompt while it runs."""

    def __init__(
        self, stage: Stage, cache: dict[str, Done], interrupt: threading.Event, item: Item
    ) -> None:
        self.stage = stage
        self.board = stage.switchboard
        self.cache = cache
        self.interrupt = interrupt
        self.item = item
        _, self.prompt_id, self.prompt, self.extra, self.targets = item
        known: dict[str, str] = {}
        self.keys = {n: _signature(self.prompt, n, stage, known) for n in self.prompt}
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.progress: dict[str, dict[str, Any]] = {}
        self.ui: dict[str, Any] = {}
        self.executed: list[str] = []

    def play(self) -> dict[str, Any]:
        """Runs the prompt to its end, whatever the end is; gives its history entry."""
        self._note("execution_start", {"prompt_id": self.prompt_id})
        for stale in self.cache.keys() - set(self.keys.values()):
            del self.cache[stale]
        cached = [node_id for node_id in self.prompt if self._is_cached(node_id)]
        self._note("execution_cached", {"nodes": cached, "prompt_id": self.prompt_id})
        success = all(map(self._step, _in_order(self.prompt, self.targets, self._is_cached)))
        if success:
            self._note("execution_success", {"prompt_id": self.prompt_id})
        word = "success" if success else "error"
        status = {"status_str": word, "completed": success, "messages": self.messages}
        meta = {node_id: _meta(node_id) for node_id in self.ui}
        return {"prompt": self.item, "outputs": self.ui, "status": status, "meta": meta}

    def _is_cached(self, node_id: str) -> bool:
        return self.keys.get(node_id) in self.cache

    def _step(self, node_id: str) -> bool:
        try:
            if self._is_cached(node_id):
                self._tell_executed(node_id, self.cache[self.keys[node_id]].ui)
                self._set_progress(node_id, 1, 1, "finished")
            else:
                self._perform(node_id)
        except Interrupted:
            self._note("execution_interrupted", self._where(node_id), everywhere=True)
            return False
        except Exception as error:  # noqa: BLE001 - whatever a node raises is its execution_error.
            _log.error("!!! Exception during processing !!! %s", error)
            _log.error("".join(traceback.format_exception(error)))
            self._note("execution_error", self._failure(node_id, error))
            return False
        return True

    def _perform(self, node_id: str) -> None:
        self._set_progress(node_id, 0.0, 1.0, "running")
        if self.board.client_id is not None:
            self.board.node_id = node_id
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
            name: self.cache[self.keys[value[0]]].outputs[value[1]] if _is_link(value) else value
            for name, value in inputs.items()
        }

    def _tick(self, node_id: str, value: int, total: int) -> None:
        self._stop_if_asked()
        self._set_progress(node_id, value, total, "running")
        data = {"value": value, "max": total, "prompt_id": self.prompt_id, "node": node_id}
        self.board.post("progress", data, self.board.client_id)

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
        self.board.post("progress_state", data, self.board.client_id)

    def _tell_executed(self, node_id: str, ui: dict[str, Any] | None) -> None:
        if ui is not None:
            self.ui[node_id] = ui
        self._tell("executed", {"node": node_id, "display_node": node_id, "output": ui})

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        if self.board.client_id is not None:
            self.board.post(kind, {**data, "prompt_id": self.prompt_id}, self.board.client_id)

    def _note(self, kind: str, data: dict[str, Any], *, everywhere: bool = False) -> None:
        data = {**data, "timestamp": int(time.time() * 1000)}
        self.messages.append((kind, data))
        if self.board.client_id is not None or everywhere:
            self.board.post(kind, data, self.board.client_id)

    def _where(self, node_id: str) -> dict[str, Any]:
        return {
            "prompt_id": self.prompt_id,
            "node_id": node_id,
            "node_type": self.prompt[node_id]["class_type"],
            "executed": list(self.executed),
        }

    def _failure(self, node_id: str, error: Exception) -> dict[str, Any]:
        name, node = type(error).__name__, self.prompt[node_id]
        inputs = self._resolve(node["inputs"])
        if CLASSES[node["class_type"]]["output_node"]:
            inputs |= {"prompt": self.prompt, "extra_pnginfo": self.extra.get("extra_pnginfo")}
        return {
            **self._where(node_id),
            "exception_message": f"{error}\n",
            "exception_type": _ALIEN_NAMES.get(name, name),
            "traceback": traceback.format_tb(error.__traceback__),
            "current_inputs": {key: [_told(value)] for key, value in inputs.items()},
            "current_outputs": list(self.prompt),
        }


def _meta(node: str) -> dict[str, Any]:
    return {"node_id": node, "display_node": node, "parent_node": None, "real_node_id": node}


def _told(value: Any) -> Any:
    """An input as an error names it: plain values as they are, others as their Python text."""
    return value if value is None or isinstance(value, int | float | str) else str(value)


def _is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def _signature(prompt: Prompt, node_id: str, stage: Stage, known: dict[str, str]) -> str:
    """The cache key of a node: class, constants and those of all ancestors; ids do not matter.

    A link that leads nowhere makes a key of its own; such a node never runs.
    """
    if node_id not in known:
        known[node_id] = f"unresolved {node_id}"
        node = prompt.get(node_id, {})
        name, inputs = node.get("class_type", ""), node.get("inputs", {})
        parts = {
            key: {"from": _signature(prompt, value[0], stage, known), "slot": value[1]}
            if _is_link(value)
            else value
            for key, value in inputs.items()
        }
        text = json.dumps([name, changed_mark(name, inputs, stage.layout), parts], sort_keys=True)
        known[node_id] = hashlib.sha256(text.encode()).hexdigest()
    return known[node_id]


def _in_order(
    prompt: Prompt, outputs: Iterable[str], is_cached: Callable[[str], bool]
) -> Iterator[str]:
    """The nodes to run, each after what it needs. Cached nodes are left out, outputs never.

    Observed order: of the nodes that could run now, the one that was met first when walking back
    from the outputs, the latest input first.
    """
    needs: dict[str, set[str]] = {}
    for output in outputs:
        stack = [output]
        while stack:
            node_id = stack.pop()
            if node_id not in needs:
                inputs = [] if is_cached(node_id) else prompt[node_id]["inputs"].values()
                links = (value[0] for value in inputs if _is_link(value))
                sources = [source for source in links if not is_cached(source)]
                needs[node_id] = set(sources)
                stack += sources
    while needs:
        node_id = next(node_id for node_id, missing in needs.items() if not missing)
        del needs[node_id]
        for missing in needs.values():
            missing.discard(node_id)
        yield node_id
