"""Rehearsal room: the one worker thread, which takes prompts from the queue until it is closed.

Its law, observed: history first, then ``status``, then ``executing`` with no node. Whatever goes
wrong outside a node ends the thread, and nobody notices but by the queue standing still.
"""

import threading
import time
import traceback

from daemon.rehearsal.actions import Stage
from daemon.rehearsal.console import say
from daemon.rehearsal.execute import Executor
from daemon.rehearsal.queue import Item, PromptQueue


class Worker:
    """The thread that runs prompts."""

    def __init__(self, stage: Stage, queue: PromptQueue, executor: Executor) -> None:
        self._stage = stage
        self._queue = queue
        self._executor = executor
        self._thread = threading.Thread(target=self._work, name="prompt worker", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Asks the thread to end and waits that long for it."""
        self._queue.close()
        self._executor.interrupt()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _work(self) -> None:
        try:
            while not self._queue.closed:
                item = self._queue.take()
                if item is not None:
                    if self._stage.faults.take("dead_worker"):
                        return
                    self._run(item)
                wishes = self._queue.take_wishes()
                if wishes.get("free_memory"):
                    self._executor.forget()
        except Exception:  # noqa: BLE001 - see the law above.
            # The real worker thread dies of this too; only its log tells.
            say(traceback.format_exc())

    def _run(self, item: Item) -> None:
        faults, board = self._stage.faults, self._stage.switchboard
        began = time.perf_counter()
        outcome = self._executor.run(item)
        if outcome.success:
            faults.die_if("after_success")
        time.sleep(faults.number("late_history"))
        if faults.number("gc_stall"):
            # A full garbage collection stops the loop, so that this prompt's end is told late.
            board.call(time.sleep, faults.number("gc_stall"))
        self._queue.finish(item, None if faults.take("lose_history") else outcome)
        if board.client_id is not None:
            board.post("executing", {"node": None, "prompt_id": item[1]}, board.client_id)
        say(f"Prompt executed in {time.perf_counter() - began:.2f} seconds")
