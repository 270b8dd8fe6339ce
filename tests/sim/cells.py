"""The rows of the fault matrix (see ``tests.sim.matrix``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.sim.matrix import (
    HOUR_S,
    KILL,
    SWIFT,
    At,
    Cell,
    chatter,
    clear_history,
    die,
    double,
    drop_sockets,
    empty_queue,
    first,
    forget,
    interrupt,
    intrude,
    kill,
    kill_daemon,
    late_history,
    mute,
    never_starts,
    other_version,
    set_clock,
    sleep_hours,
    slow_down,
    spoil,
    spoil_all,
    start_refused,
    starts_well,
    swap_graph,
    take_over,
    take_theirs_away,
    unmute_with_a_flood,
)
from tests.sim.weather import Answer

REQUESTS: Sequence[Cell] = (
    Cell("nothing, anywhere", ()),
    Cell("refused, at the start, for 30 s", [Answer("refused", for_s=30)], within_s=40),
    Cell(
        "refused, at the start, for 3 minutes",
        [Answer("refused", for_s=180)],
        "(COMFY_NOT_READY) published",
        within_s=200,
    ),
    Cell("refused, at POST, once", [Answer("refused", "send", times=1)]),
    Cell(
        "refused, at POST, always",
        [Answer("refused", "send")],
        "ENGINE_UNCLEAR ENGINE_UNCLEAR quarantined; the next too; 0 drawn",
        within_s=25,
    ),
    Cell(
        "refused, while drawing, for 30 s",
        [Answer("refused", since="step 2", for_s=30)],
        "published; says ENGINE_CHANGED",
        within_s=45,
    ),
    Cell(
        "refused, while drawing, for 3 minutes",
        [Answer("refused", since="step 2", for_s=180)],
        "ENGINE_GONE (COMFY_NOT_READY) published; says ENGINE_CHANGED",
        within_s=200,
    ),
    Cell(
        "refused, at the history, for 30 s",
        [Answer("refused", since="ended", for_s=30)],
        "published; says ENGINE_CHANGED",
        within_s=45,
    ),
    Cell("refused, at the view, once", [Answer("refused", "view", times=1)]),
    Cell(
        "refused, at the view, always",
        [Answer("refused", "view")],
        "ENGINE_GONE ENGINE_GONE quarantined; the next too",
        within_s=400,
    ),
    Cell("late by 3 s, everything", [Answer("late")], within_s=40),
    Cell("silent, at the start, for 30 s", [Answer("silent", for_s=30)], within_s=50),
    Cell("silent, at POST, once", [Answer("silent", "send", times=1)], within_s=25),
    Cell(
        "silent, while drawing, for 30 s", [Answer("silent", since="step 2", for_s=30)], within_s=50
    ),
    Cell("silent, at the view, once", [Answer("silent", "view", times=1)]),
    Cell(
        "silent, at the interrupt",
        [Answer("silent", "interrupt"), At("step 2", die), At("step 2", KILL, 600)],
        "STALLED (ENGINE_STUCK) published; 4 drawn",
        within_s=645,
    ),
    Cell("hangs, at POST", [Answer("hangs", "send", times=1)], within_s=105),
    Cell(
        "hangs, at the history", [Answer("hangs", "history", since="ended", times=1)], within_s=105
    ),
    Cell(
        "hangs, at the queue",
        [Answer("hangs", "queue", times=1)],
        "(COMFY_NOT_READY) published",
        within_s=105,
    ),
    Cell("hangs, at the view", [Answer("hangs", "view", times=1)], within_s=105),
    Cell("4xx, at POST, once", [Answer("400", "send", times=1)], "VALIDATION failed; 1 drawn"),
    Cell(
        "4xx, at POST, always", [Answer("400", "send")], "VALIDATION failed; the next too; 0 drawn"
    ),
    Cell("5xx, at POST, not queued, once", [Answer("bad", "send", times=1)]),
    Cell(
        "5xx, at POST, not queued, always",
        [Answer("bad", "send")],
        "ENGINE_UNCLEAR ENGINE_UNCLEAR quarantined; the next too; 0 drawn",
        within_s=25,
    ),
    Cell("5xx, at POST, queued", [Answer("lost", "send", times=1)]),
    Cell("5xx, at POST, always queued", [Answer("lost", "send")]),
    Cell("bad JSON, at the start, for 30 s", [Answer("bad", for_s=30)], within_s=40),
    Cell("bad JSON, at the history, three times", [Answer("bad", "history", "posted", times=3)]),
    Cell("bad JSON, at the queue, three times", [Answer("bad", "queue", times=3)]),
    Cell(
        "bad JSON, while drawing, always",
        [Answer("bad", "history", "step 2")],
        "ENGINE_GONE published; the next too",
        within_s=135,
    ),
    Cell("bad JSON, at the view, once", [Answer("bad", "view", times=1)]),
)
SOCKETS: Sequence[Cell] = (
    Cell("socket dropped, before POST", [At("send", drop_sockets)]),
    Cell("socket dropped, during POST", [At("posted", drop_sockets)]),
    Cell("socket dropped, after POST", [At("running", drop_sockets)]),
    Cell("socket dropped, while drawing", [At("step 2", drop_sockets)]),
    Cell("socket dropped, at the end", [At("saved", drop_sockets)]),
    Cell("socket dropped, at each picture", [At(f"step {n}", drop_sockets) for n in (2, 6, 10)]),
    Cell("mute after takeover, while drawing", [At("step 2", take_over)]),
    Cell("mute after takeover, before POST", [At("send", take_over)]),
    Cell("mute, from the start", [At("start", mute)]),
    Cell(
        "mute, a picture of two minutes",
        [At("start", mute), At("start", slow_down(30.0))],
        "published; says 2 WS_SILENT",
        within_s=385,
    ),
    Cell(
        "blocked reader, while drawing, then a flood",
        [At("step 2", mute), At("running 3", unmute_with_a_flood, 0.1)],
    ),
    Cell("others' messages, while drawing", [At("step 2", chatter)]),
    Cell("messages doubled, always", [At("start", double)]),
    Cell("history late, by 1 s", [At("start", late_history(1.0))]),
    Cell("history late, by 30 s", [At("start", late_history(30.0))], within_s=105),
    Cell("history empty, of one picture", [At("start", forget(1))]),
    Cell("history empty, always", [At("start", forget(100))]),
    Cell("history empty, one answer", [Answer("lost", "history", "ended", times=1)]),
    Cell("history cleared, after the first picture", [At("ended", clear_history)]),
)
DEATHS: Sequence[Cell] = (
    Cell("killed, at the start", [At("start", kill(20.0))], within_s=30),
    Cell("killed, before POST", [At("send", KILL)]),
    Cell("killed, during POST", [At("posted", KILL)]),
    Cell("killed, when it begins to draw", [At("running", KILL)], "PROMPT_LOST published; 4 drawn"),
    Cell("killed, while drawing", [At("step 2", KILL)], "PROMPT_LOST published; 4 drawn"),
    Cell("killed, between saving and the history", [At("saved", KILL)]),
    Cell("killed, at the history", [At("ended", KILL)]),
    Cell("killed, at the view", [At("view", KILL)], "PROMPT_LOST published; 4 drawn"),
    Cell("killed, in the second picture", [At("step 6", KILL)], "PROMPT_LOST published; 4 drawn"),
    Cell(
        "killed, in the next job's picture",
        [At("step 10", KILL)],
        "published; the next: PROMPT_LOST published; 4 drawn",
    ),
    Cell(
        "killed, while drawing, twice",
        [At("step 2", KILL), At("running 2", KILL, 0.3)],
        "PROMPT_LOST PROMPT_LOST quarantined",
    ),
    Cell(
        "killed, while drawing, always",
        [At(each, KILL, 0.3) for each in first(9, "running")],
        "PROMPT_LOST PROMPT_LOST quarantined; the next too; 4 drawn; says ENGINE_CHANGED",
        within_s=35,
    ),
    Cell(
        "killed, while drawing, for 3 minutes",
        [At("step 2", kill(180.0))],
        "ENGINE_GONE (COMFY_NOT_READY) published; 4 drawn; says ENGINE_CHANGED",
        within_s=200,
    ),
    Cell("restarted with a lost queue, during POST", [At("posted", SWIFT)]),
    Cell(
        "restarted with a lost queue, while drawing",
        [At("step 2", SWIFT)],
        "PROMPT_LOST published; 4 drawn",
    ),
    Cell("restarted with a lost queue, after saving", [At("saved", SWIFT)]),
    Cell("restarted with a lost queue, after the history", [At("ended", SWIFT)]),
    Cell(
        "restarted with a lost queue, behind a stranger's prompt",
        [At("send", intrude("theirs", step_s=1.0)), At("posted", SWIFT, 1.0)],
        "PROMPT_LOST published",
    ),
    Cell(
        "emptied queue, behind a stranger's prompt",
        [At("send", intrude("theirs", step_s=1.0)), At("posted", empty_queue, 0.5)],
        "PROMPT_LOST published",
    ),
    Cell(
        "dead worker, while drawing, mended after 10 minutes",
        [At("step 2", die), At("step 2", kill(3.0), 600)],
        "STALLED (ENGINE_STUCK) published; 4 drawn",
        within_s=645,
    ),
    Cell(
        "dead worker, from the start, mended after an hour",
        [At("start", die), At("start", kill(3.0), HOUR_S)],
        "STALLED (ENGINE_STUCK) published; 4 drawn; says ENGINE_CHANGED",
        within_s=3795,
    ),
    Cell("daemon killed, before POST", [At("send", kill_daemon)]),
    Cell("daemon killed, during POST", [At("posted", kill_daemon)]),
    Cell("daemon killed, while drawing", [At("step 2", kill_daemon)]),
    Cell("daemon killed, after saving", [At("saved", kill_daemon)]),
    Cell("daemon killed, at the view", [At("view", kill_daemon)]),
    Cell("daemon killed, between the pictures", [At("send 2", kill_daemon)]),
    Cell("daemon killed, mute after it", [At("step 2", mute), At("step 2", kill_daemon)]),
    Cell(
        "both killed, while drawing",
        [At("step 2", KILL), At("step 2", kill_daemon)],
        "published; 4 drawn",
    ),
    Cell("both killed, after saving", [At("saved", KILL), At("saved", kill_daemon)]),
)
RESULTS: Sequence[Cell] = (
    Cell(
        "output missing, once", [At("start", spoil("missing"))], "OUTPUT_MISSING published; 5 drawn"
    ),
    Cell(
        "output missing, always",
        [At("start", spoil_all("missing"))],
        "OUTPUT_MISSING OUTPUT_MISSING quarantined; the next too; 6 drawn",
    ),
    Cell(
        "output missing, second picture",
        [At("start", spoil("", "missing"))],
        "OUTPUT_MISSING published; 4 drawn",
    ),
    Cell(
        "output truncated, once",
        [At("start", spoil("truncated"))],
        "PICTURE_BROKEN published; 5 drawn",
    ),
    Cell(
        "output truncated, always",
        [At("start", spoil_all("truncated"))],
        "PICTURE_BROKEN PICTURE_BROKEN quarantined; the next too; 6 drawn",
    ),
    Cell(
        "output truncated, killed as well",
        [At("start", spoil("truncated")), At("saved", KILL)],
        "PROMPT_LOST published; 4 drawn",
    ),
    Cell("output black, once", [At("start", spoil("black"))], "BLACK_OR_GRAY failed"),
    Cell("output black, second picture", [At("start", spoil("", "black"))], "BLACK_OR_GRAY failed"),
    Cell(
        "output black, always",
        [At("start", spoil_all("black"))],
        "BLACK_OR_GRAY failed; the next too",
    ),
    Cell(
        "a node raises, in the second picture",
        [At("start", spoil("", "raises"))],
        "NODE_ERROR failed",
    ),
    Cell(
        "out of memory, once",
        [At("start", spoil("out of memory"))],
        "OUT_OF_MEMORY published; 5 drawn",
    ),
    Cell(
        "out of memory, always",
        [At("start", spoil_all("out of memory"))],
        "OUT_OF_MEMORY OUT_OF_MEMORY quarantined; the next too; 5 drawn",
    ),
)
STRANGERS: Sequence[Cell] = (
    Cell("another graph under our id, as we sent it", [At("step 2", swap_graph)]),
    Cell(
        "another graph under our id, as we find it",
        [At("step 2", swap_graph), At("step 2", kill_daemon)],
        "STRANGER failed; 2 drawn",
    ),
    Cell(
        "port taken by a stranger, at the start, for 5 minutes",
        [Answer("bad", for_s=300)],
        "(COMFY_NOT_READY) published",
        within_s=325,
    ),
    Cell(
        "port taken by a stranger, while drawing",
        [At("step 2", kill(0.0)), Answer("bad", since="step 2", for_s=300)],
        "ENGINE_GONE (COMFY_NOT_READY) published; 4 drawn",
        within_s=325,
    ),
    Cell(
        "other version, while drawing",
        [At("step 2", other_version), At("step 2", KILL)],
        "PROMPT_LOST published; 4 drawn",
    ),
    Cell("other version, between pictures", [At("ended", other_version)]),
    Cell(
        "foreign prompts, at the start, 3 of 40 s",
        [At("start", intrude("a", "b", "c", step_s=10.0))],
        "(ENGINE_SHARED) published",
        within_s=135,
    ),
    Cell(
        "foreign prompts, between POST and its turn",
        [At("send", intrude("a", step_s=10.0))],
        within_s=50,
    ),
    Cell(
        "foreign prompts, between two pictures",
        [At("send 2", intrude("a", step_s=10.0))],
        within_s=50,
    ),
    Cell(
        "foreign prompt without end, before ours, taken away after 70 minutes",
        [At("start", intrude("a", step_s=9_999.0)), At("start", take_theirs_away, 4_200)],
        "(ENGINE_SHARED) published",
        within_s=4420,
    ),
    Cell(
        "foreign prompt without end, just before POST, taken away after 70 minutes",
        [At("send", intrude("a", step_s=9_999.0)), At("send", take_theirs_away, 4_200)],
        "QUEUE_BLOCKED published",
        within_s=4425,
    ),
    Cell(
        "interrupted by somebody, while drawing",
        [At("step 2", interrupt)],
        "INTERRUPTED published; 5 drawn",
    ),
    Cell(
        "interrupted by somebody, twice",
        [At("step 2", interrupt), At("step 4", interrupt)],
        "INTERRUPTED published; the next too; 6 drawn",
    ),
    Cell("slow, a step of 20 s", [At("start", slow_down(20.0))], within_s=260),
    Cell(
        "slow, a step of 100 s",
        [At("start", slow_down(100.0))],
        "SLOW_CPU_FALLBACK failed; the next: (ENGINE_STUCK) SLOW_CPU_FALLBACK failed; 2 drawn",
        within_s=570,
    ),
    Cell(
        "slow, a step of 400 s",
        [At("start", slow_down(400.0))],
        "STALLED (ENGINE_STUCK) STALLED quarantined;"
        " the next: (ENGINE_STUCK) STALLED (ENGINE_STUCK) STALLED quarantined; 4 drawn",
        within_s=1600,
    ),
    Cell("clock jump, 6 h forward while drawing", [At("step 2", set_clock(6))]),
    Cell("clock jump, 6 h back while drawing", [At("step 2", set_clock(-6))]),
    Cell("clock jump, 6 h back at the start", [At("start", set_clock(-6), 1.0)]),
    Cell("sleep of 8 h, while drawing", [At("step 2", sleep_hours(8))]),
    Cell("sleep of 8 h, during POST", [At("posted", sleep_hours(8))]),
    Cell(
        "sleep of 8 h, the server is gone after it",
        [At("step 2", sleep_hours(8)), At("step 2", kill(10.0))],
        "PROMPT_LOST published; 4 drawn; says MACHINE_SLEPT",
        within_s=25,
    ),
)
OURS: Sequence[Cell] = (
    Cell("ours: nothing, anywhere", ()),
    Cell(
        "ours: start refused, three times",
        [At("start", start_refused(3))],
        "published; says 3 ENGINE_START",
        within_s=25,
    ),
    Cell(
        "ours: start refused, for ever and mended",
        [At("start", start_refused(7))],
        "(COMFY_NOT_READY) published; says 4 ENGINE_START, COMFY_NOT_READY",
        within_s=1925,
    ),
    Cell(
        "ours: dies while it starts, for a minute",
        [At("start", never_starts), At("start", starts_well, 60)],
        "(COMFY_NOT_READY) published; says 4 ENGINE_ENDED, COMFY_NOT_READY",
        within_s=675,
    ),
    Cell(
        "ours: dies while it starts, for an hour",
        [At("start", never_starts), At("start", starts_well, HOUR_S)],
        "(COMFY_NOT_READY) published; says 4 ENGINE_ENDED, COMFY_NOT_READY",
        within_s=3840,
    ),
    Cell(
        "ours: dies while it starts again, for a minute",
        [At("step 2", never_starts), At("step 2", starts_well, 60), At("step 2", KILL)],
        "ENGINE_GONE (COMFY_NOT_READY) published; 4 drawn; says 4 ENGINE_ENDED, COMFY_NOT_READY",
        within_s=675,
    ),
    Cell("ours: killed, while it starts", [At("start", KILL, 1.0)], "published; says ENGINE_ENDED"),
    Cell(
        "ours: killed, before POST", [At("send", KILL)], "published; says ENGINE_ENDED", within_s=25
    ),
    Cell(
        "ours: killed, during POST",
        [At("posted", KILL)],
        "published; says ENGINE_ENDED",
        within_s=25,
    ),
    Cell(
        "ours: killed, when it begins to draw",
        [At("running", KILL)],
        "PROMPT_LOST published; 4 drawn; says ENGINE_ENDED",
        within_s=25,
    ),
    Cell(
        "ours: killed, while drawing",
        [At("step 2", KILL)],
        "PROMPT_LOST published; 4 drawn; says ENGINE_ENDED",
        within_s=25,
    ),
    Cell(
        "ours: killed, between saving and the history",
        [At("saved", KILL)],
        "published; says ENGINE_ENDED",
        within_s=25,
    ),
    Cell(
        "ours: killed, at the history",
        [At("ended", KILL)],
        "published; says ENGINE_ENDED",
        within_s=25,
    ),
    Cell(
        "ours: killed, at the view",
        [At("view", KILL)],
        "PROMPT_LOST published; 4 drawn; says ENGINE_ENDED",
        within_s=25,
    ),
    Cell(
        "ours: killed, in the second picture",
        [At("step 6", KILL)],
        "PROMPT_LOST published; 4 drawn; says ENGINE_ENDED",
        within_s=25,
    ),
    Cell(
        "ours: killed, in the next job's picture",
        [At("step 10", KILL)],
        "published; the next: PROMPT_LOST published; 4 drawn; says ENGINE_ENDED",
        within_s=25,
    ),
    Cell(
        "ours: killed, while drawing, always",
        [At(each, KILL, 0.3) for each in first(9, "running")],
        "PROMPT_LOST PROMPT_LOST quarantined; the next too; 4 drawn; says 4 ENGINE_ENDED",
        within_s=60,
    ),
    Cell(
        "ours: killed with the daemon, while drawing",
        [At("step 2", KILL), At("step 2", kill_daemon)],
        "published; 4 drawn",
    ),
    Cell(
        "ours: killed with the daemon, after saving", [At("saved", KILL), At("saved", kill_daemon)]
    ),
    Cell("ours: daemon killed, while it starts", [At("start", kill_daemon, 1.0)]),
    Cell("ours: daemon killed, while drawing", [At("step 2", kill_daemon)]),
    Cell(
        "ours: dead worker, while drawing",
        [At("step 2", die)],
        "STALLED published; 4 drawn; says ENGINE_STUCK",
        within_s=165,
    ),
    Cell(
        "ours: dead worker, in the next job's picture",
        [At("step 10", die)],
        "published; the next: STALLED published; 4 drawn; says ENGINE_STUCK",
        within_s=165,
    ),
    Cell(
        "ours: silent, for 30 s while drawing",
        [Answer("silent", since="step 2", for_s=30)],
        within_s=50,
    ),
    Cell(
        "ours: silent, for 3 minutes while drawing",
        [Answer("silent", since="step 2", for_s=180)],
        "ENGINE_GONE published; says 2 COMFY_NOT_READY",
        within_s=210,
    ),
    Cell(
        "ours: port taken by a stranger, for 5 minutes",
        [Answer("bad", for_s=300)],
        "published; says 4 COMFY_NOT_READY",
        within_s=325,
    ),
    Cell(
        "ours: output black, once",
        [At("start", spoil("black"))],
        "BLACK_OR_GRAY published; 4 drawn",
    ),
    Cell(
        "ours: output black, in the first profile",
        [At("start", spoil("black", "black", "black"))],
        "BLACK_OR_GRAY published; the next too; 6 drawn",
        within_s=30,
    ),
    Cell(
        "ours: output black, always",
        [At("start", spoil_all("black"))],
        "BLACK_OR_GRAY BLACK_OR_GRAY BLACK_OR_GRAY BLACK_OR_GRAY failed; the next too; 12 drawn",
        within_s=40,
    ),
    Cell(
        "ours: out of memory, once",
        [At("start", spoil("out of memory"))],
        "OUT_OF_MEMORY published; 5 drawn",
    ),
    Cell(
        "ours: foreign prompts, at the start",
        [At("posted", intrude("a", "b", step_s=10.0))],
        within_s=100,
    ),
    Cell(
        "ours: clock jump, 6 h back while drawing",
        [At("step 2", set_clock(-6))],
        "published; says CLOCK_SET_BACK",
    ),
    Cell(
        "ours: sleep of 8 h, the server is gone after it",
        [At("step 2", sleep_hours(8)), At("step 2", KILL)],
        "PROMPT_LOST published; 4 drawn; says MACHINE_SLEPT, ENGINE_ENDED",
        within_s=25,
    ),
)
CELLS: Sequence[Cell] = (
    *REQUESTS,
    *SOCKETS,
    *DEATHS,
    *RESULTS,
    *STRANGERS,
    *(replace(cell, ours=True) for cell in OURS),
)
