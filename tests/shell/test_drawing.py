"""The conversation about one picture, with an engine that does its worst."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.jobs import Outcome
from daemon.core.policy import Policy
from daemon.craft.nodes import Node
from daemon.shell.whereabouts import Drawn, DrawOrder
from daemon.wire.comfyui import Ended, Executing, Failure, OutputFile, Progress
from tests.conversing import Undrawn, draw
from tests.shell.engine_fake import PICTURE, FakeEngine, Sent, Trouble
from tests.virtual_time import run

POLICY = Policy()
OURS = "0b8f0c52-6a0a-4a35-8f0e-6f1f6b1f2a10"
THEIRS = "ffffffff-6a0a-4a35-8f0e-6f1f6b1f2a10"
GRAPH: Mapping[str, Node] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 512, "height": 768, "color": 5}},
    "9": {
        "class_type": "SaveImage",
        "inputs": {"images": ["1", 0], "filename_prefix": "nightpress/0b8f0c526a0a"},
    },
}
OTHER_GRAPH: Mapping[str, Node] = {
    **GRAPH,
    "1": {"class_type": "EmptyImage", "inputs": {"width": 512, "height": 768, "color": 6}},
}
ORDER = DrawOrder(
    prompt_id=OURS,
    graph=GRAPH,
    save_node="9",
    draw_s=120.0,
    note={"job": "ch01_p003_v1"},
)


class Story:
    """One drawing, with all that it did to the outside and the seconds that it took."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.steps: list[tuple[int, int]] = []
        self.took_s = 0.0

    def tell(self) -> Drawn | Undrawn:
        return run(self.draw())

    async def draw(self) -> Drawn | Undrawn:
        result = await self.draw_beside()
        assert asyncio.all_tasks() == {asyncio.current_task()}, "a task was left behind"
        return result

    async def draw_beside(self) -> Drawn | Undrawn:
        """The same while other tasks go on."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        result = await draw(
            # What the engine has been sent in an earlier life was recorded in it.
            replace(ORDER, fresh=OURS not in self.engine.prompts),
            renderer=self.engine,
            progress=lambda step, steps: self.steps.append((step, steps)),
            policy=POLICY,
        )
        self.took_s = loop.time() - began
        assert self.engine.listening == 0, "the ears were left open"
        return result


def undrawn(engine: FakeEngine) -> Undrawn:
    result = Story(engine).tell()
    assert isinstance(result, Undrawn), result
    return result


def test_a_picture_is_drawn_listening_first() -> None:
    """N1.1, S3.3: ears, then the prompt; the executed graph comes back."""
    story = Story(FakeEngine())
    assert story.tell() == Drawn(PICTURE, GRAPH)
    calls = story.engine.calls
    assert calls.index("listen") < calls.index("queue") < calls.index("send") < calls.index("view")
    assert story.steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_end_is_noticed_at_once_when_it_is_heard() -> None:
    """N1.1: a message only wakes the poller, and that it does."""
    story = Story(FakeEngine(step_s=20.3))
    story.tell()
    assert 84.7 <= story.took_s < 85.2


def test_messages_about_other_prompts_are_ignored() -> None:
    """N1.2: neither their steps nor their end are ours."""
    told = (Progress(1, 2, THEIRS), Ended(THEIRS), Executing(None, THEIRS))
    story = Story(FakeEngine(noise=[(t / 9, told[t % 3]) for t in range(60)]))
    assert isinstance(story.tell(), Drawn)
    assert (1, 2) not in story.steps
    assert story.engine.calls.count("history") < 20, "others' messages must not make us poll"


def test_a_silent_socket_is_no_failure() -> None:
    """N1.3: history is polled every 2 s whatever the socket says."""
    story = Story(FakeEngine(deaf=True, step_s=25.0))
    assert isinstance(story.tell(), Drawn)
    assert story.engine.calls.count("history") > story.took_s / 2.2


def test_what_ended_before_anybody_listened_is_found_and_not_sent_again() -> None:
    """N1.4: recovery after a crash is the ordinary start."""
    engine = FakeEngine(prompts={OURS: Sent(GRAPH, "an earlier life", -100.0)})
    assert isinstance(Story(engine).tell(), Drawn)
    assert engine.sends == []


@pytest.mark.parametrize("queued_s", [0.0, 30.0])
def test_what_runs_or_waits_already_is_rejoined(queued_s: float) -> None:
    """N1.4: also on the queue; nobody tells us of its steps."""
    engine = FakeEngine(queued_s=queued_s, prompts={OURS: Sent(GRAPH, "an earlier life", 0.0)})
    assert isinstance(Story(engine).tell(), Drawn)
    assert engine.sends == []


@pytest.mark.parametrize("at", [-100.0, 0.0])
def test_another_graph_under_our_id_is_a_strangers(at: float) -> None:
    """N1.2: adoption compares the graph found with ours, in history and in the queue."""
    engine = FakeEngine(prompts={OURS: Sent(OTHER_GRAPH, "a stranger", at)})
    assert undrawn(engine).code == "STRANGER"
    assert engine.sends == []


def test_a_graph_that_the_engine_rewrote_after_accepting_it_is_still_ours() -> None:
    """S3.3: what was executed is returned, not what was sent."""

    class Rewriting(FakeEngine):
        async def send(self, body: Mapping[str, object]) -> Mapping[str, str]:
            answer = await super().send(body)
            self.prompts[OURS] = replace(self.prompts[OURS], graph=OTHER_GRAPH)
            return answer

    result = Story(Rewriting()).tell()
    assert isinstance(result, Drawn)
    assert result.graph == OTHER_GRAPH


def test_an_error_is_not_mistaken_for_success() -> None:
    """N1.5: the socket says that the prompt ended; the history says how."""
    failure = Failure("7", "KSampler", "RuntimeError", "MPS backend out of memory (...)")
    end = undrawn(FakeEngine(failure=failure))
    assert (end.outcome, end.code) == (Outcome.LOST, "OUT_OF_MEMORY")
    assert "KSampler" in end.text


def test_a_prompt_that_somebody_interrupted_is_worth_another_attempt() -> None:
    """N1.5"""
    prompts = {OURS: Sent(GRAPH, "an earlier life", 0.0, stopped_at=1.0)}
    end = undrawn(FakeEngine(prompts=prompts))
    assert (end.outcome, end.code) == (Outcome.LOST, "INTERRUPTED")


def test_an_answer_with_node_errors_is_a_refusal_and_taken_back() -> None:
    """N1.5: HTTP 200 does not say that all was accepted."""
    engine = FakeEngine(node_errors={"7": "Node 7 (KSampler): steps is missing"})
    end = undrawn(engine)
    assert (end.outcome, end.code) == (Outcome.FAILED, "VALIDATION")
    assert "steps is missing." in end.text
    assert engine.calls[-1] == f"interrupt {OURS}"


def test_a_refused_prompt_is_not_sent_again() -> None:
    engine = FakeEngine(trouble={"send": ["bad prompt"]})
    end = undrawn(engine)
    assert (end.outcome, end.code) == (Outcome.FAILED, "VALIDATION")
    assert engine.calls.count("send") == 1


def test_an_unclear_answer_is_cleared_up_by_looking() -> None:
    """N6.3: a 500 does not prove that nothing was queued."""
    engine = FakeEngine(trouble={"send": ["lost answer"]})
    assert isinstance(Story(engine).tell(), Drawn)
    assert engine.calls.count("send") == 1


def test_what_never_arrived_is_sent_a_second_time_after_history_queue_and_history() -> None:
    engine = FakeEngine(trouble={"send": ["refused connection"]})
    assert isinstance(Story(engine).tell(), Drawn)
    first = engine.calls.index("send")
    second = engine.calls.index("send", first + 1)
    look = ["history", "queue", "history"]
    assert engine.calls[first + 1 : second] == [*look, *look]
    assert f"interrupt {OURS}" in engine.calls, "a late first sending must not run after all"


def test_it_is_not_sent_a_third_time() -> None:
    engine = FakeEngine(trouble={"send": ["refused connection"] * 5})
    end = undrawn(engine)
    assert (end.outcome, end.code) == (Outcome.LOST, "ENGINE_UNCLEAR")
    assert engine.calls.count("send") == 2


def test_a_prompt_that_is_nowhere_any_more_is_lost() -> None:
    """N6.1: history and queue live in the engine's memory; a restart empties both."""
    engine = FakeEngine()

    async def story() -> Drawn | Undrawn:
        drawing = asyncio.create_task(Story(engine).draw_beside())
        await asyncio.sleep(5)
        engine.forget()
        return await drawing

    end = run(story())
    assert isinstance(end, Undrawn)
    assert (end.outcome, end.code) == (Outcome.LOST, "PROMPT_LOST")
    assert len(engine.sends) == 1


def test_a_short_absence_of_the_engine_is_waited_through() -> None:
    """N6.1: up to a minute, measured from the last answer."""
    story = Story(FakeEngine(gone=[(4.0, 50.0)]))
    assert isinstance(story.tell(), Drawn)
    assert 50 < story.took_s < 56


@pytest.mark.parametrize("method", ["history", "queue", "view"])
def test_one_request_that_hangs_is_no_absence(method: str) -> None:
    """N6.1: its deadline is longer than an absence may be, so it is asked once more."""
    engine = FakeEngine(trouble={method: ["hangs"]})
    assert isinstance(Story(engine).tell(), Drawn)
    assert len(engine.sends) == 1


def test_absences_are_not_added_up() -> None:
    """N6.1: any answer ends an absence."""
    assert isinstance(Story(FakeEngine(gone=[(4.0, 45.0), (48.0, 90.0)], load_s=90)).tell(), Drawn)


@pytest.mark.parametrize("since", [0.0, 4.0])
def test_an_engine_that_stays_away_has_lost_the_prompt(since: float) -> None:
    """N6.1"""
    story = Story(FakeEngine(gone=[(since, math.inf)]))
    end = story.tell()
    assert isinstance(end, Undrawn)
    assert (end.outcome, end.code) == (Outcome.LOST, "ENGINE_GONE")
    assert "Connection refused" in end.text
    assert 60 <= story.took_s - since < 66


@pytest.mark.parametrize("method", ["describe", "history", "queue", "send", "view", "interrupt"])
def test_a_request_that_is_never_answered_has_a_deadline(method: str) -> None:
    """N6.3: every wait ends."""
    story = Story(FakeEngine(trouble={method: ["hangs"]}, step_s=100.0))
    story.tell()
    assert story.took_s < 600


def test_no_step_at_all_is_a_stall_and_only_our_prompt_is_interrupted() -> None:
    """N6.3: 60 s for the start, 120 s for the first load, then the deadline itself."""
    engine = FakeEngine(load_s=math.inf, stuck_after=1)
    story = Story(engine)
    end = story.tell()
    assert isinstance(end, Undrawn)
    assert (end.outcome, end.code) == (Outcome.LOST, "STALLED")
    assert 300 <= story.took_s < 325
    assert [call for call in engine.calls if "interrupt" in call] == [f"interrupt {OURS}"]


def test_steps_that_go_on_past_the_deadline_are_slow() -> None:
    """N6.3: 120 s from the first sampler step for 512 x 768 and 20 steps."""
    story = Story(FakeEngine(load_s=170.0, steps=20, step_s=10.0))
    end = story.tell()
    assert isinstance(end, Undrawn)
    assert end.code == "SLOW_CPU_FALLBACK"
    assert 300 <= story.took_s < 320


def test_steps_that_stopped_are_a_stall() -> None:
    """N6.3"""
    end = undrawn(FakeEngine(stuck_after=3))
    assert (end.outcome, end.code) == (Outcome.LOST, "STALLED")


def test_an_engine_that_does_not_obey_is_told_of() -> None:
    """N6.3: fail loudly."""
    end = undrawn(FakeEngine(stuck_after=3, obeys=False))
    assert "did not obey" in end.text


def test_a_picture_that_ends_in_the_grace_is_taken() -> None:
    """N6.3: an interrupt during the last node comes too late, and the picture is there."""
    assert isinstance(Story(FakeEngine(steps=20, step_s=6.5, obeys=False)).tell(), Drawn)


def test_waiting_behind_other_peoples_prompts_is_not_slow() -> None:
    """N6.3: the clock starts when it is our turn."""
    story = Story(FakeEngine(queued_s=1_000.0))
    assert isinstance(story.tell(), Drawn)
    assert story.took_s > 1_000


def test_waiting_for_ever_behind_other_peoples_prompts_is_given_up() -> None:
    """N6.3: every wait has a deadline; the prompt is taken out of the queue."""
    engine = FakeEngine(queued_s=math.inf)
    assert undrawn(engine).code == "QUEUE_BLOCKED"
    assert engine.prompts == {}


GOOD = OutputFile("9", "0b8f0c526a0a_00001_.png", "nightpress", "output")


@pytest.mark.parametrize(
    "outputs",
    [
        (),
        (GOOD, replace(GOOD, filename="0b8f0c526a0a_00002_.png")),
        (replace(GOOD, filename="ComfyUI_00001_.png"),),
        (replace(GOOD, filename="0b8f0c526a0a_/../../etc.png"),),
        (replace(GOOD, subfolder=""),),
        (replace(GOOD, kind="temp"),),
        (replace(GOOD, node="1"),),
    ],
)
def test_an_output_with_another_name_than_ours_is_an_error(outputs: tuple[OutputFile, ...]) -> None:
    """N3.3"""
    engine = FakeEngine(outputs=outputs)
    assert undrawn(engine).code == "OUTPUT_MISMATCH"
    assert "view" not in engine.calls


def test_an_output_that_is_gone_is_worth_another_attempt() -> None:
    """N3.3"""
    end = undrawn(FakeEngine(has_file=False))
    assert (end.outcome, end.code) == (Outcome.LOST, "OUTPUT_MISSING")


def test_when_cancelled_nothing_is_left_here_and_the_prompt_stays_there() -> None:
    """N1.4: the next start rejoins it."""
    engine = FakeEngine()

    async def story() -> None:
        drawing = asyncio.create_task(Story(engine).draw_beside())
        await asyncio.sleep(5)
        drawing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await drawing
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(story())
    assert engine.listening == 0
    assert list(engine.prompts) == [OURS]


troubles: st.SearchStrategy[Trouble] = st.sampled_from(
    ["answers", "answers", "refused connection", "lost answer", "hangs"]
)


@given(
    trouble=st.dictionaries(
        st.sampled_from(["describe", "history", "queue", "send", "view", "interrupt"]),
        st.lists(troubles, max_size=8),
    ),
    gone=st.tuples(st.floats(0, 400), st.floats(0, 120)),
    step_s=st.floats(0.1, 40),
    deaf=st.booleans(),
    queued_s=st.floats(0, 100),
)
def test_whatever_happens_it_ends_and_sends_at_most_twice(
    trouble: dict[str, list[Trouble]],
    gone: tuple[float, float],
    step_s: float,
    *,
    deaf: bool,
    queued_s: float,
) -> None:
    """N6.1, N6.3: every story has an end; a prompt that was accepted is never sent again."""
    engine = FakeEngine(
        trouble=trouble,
        gone=[(gone[0], gone[0] + gone[1])],
        step_s=step_s,
        deaf=deaf,
        queued_s=queued_s,
    )
    story = Story(engine)
    result = story.tell()
    assert story.took_s < 6_000
    assert engine.calls.count("send") <= 2
    assert len(engine.sends) <= 1, "what had arrived was found, and not sent again"
    if isinstance(result, Drawn):
        assert result.png == PICTURE
