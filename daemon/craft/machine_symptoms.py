"""What the trade makes of the machine's symptoms: memory, power, hours. Code -> title and check."""

from __future__ import annotations

from collections.abc import Mapping

MACHINE: Mapping[str, tuple[str, str]] = {
    "NOTIFY_FAILED": (
        "a message could not be shown",
        "Run the command of [notify] command by hand, with a line of JSON on its standard input.",
    ),
    "MEMORY_SHORT": (
        "a job needs more memory than can be had",
        (
            "Close what uses memory (Activity Monitor, Memory); `nightpress why JOB` shows the sum,"
            " term by term."
        ),
    ),
    "SWAPPING": (
        "the machine swaps",
        "Look for what uses memory in Activity Monitor; nothing starts until the swapping stops.",
    ),
    "WINDOW_CLOSED": (
        "outside its hours",
        "It starts when its window opens. [windows] in nightpress.toml sets them; [] is never.",
    ),
    "WINDOW_SHORT": (
        "the window is too short for what is left",
        "Widen [windows] training, or save more often (save_every): a night is split at saves.",
    ),
    "WINDOW_END": (
        "the training window closed",
        "Nothing to do: it goes on from its last epoch when the window opens again.",
    ),
    "ON_BATTERY": (
        "a training on battery power",
        "Plug the Mac in and leave its lid open; the display may sleep.",
    ),
    "GPU_FOREIGN": (
        "somebody else trains on this machine",
        "Wait for it to end, or end it: two trainings at once would make the machine swap.",
    ),
    "HEAVY_PROGRAMS": (
        "large programs are open beside a training",
        "Quit the browser and the editor before the night; they can be opened again while it runs.",
    ),
    "MACHINE_SLEPT": (
        "the machine slept",
        "For trainings: leave the lid open and the power on; a closed lid sleeps whatever it does.",
    ),
    "CLOCK_SET_BACK": (
        "the clock was set back",
        "Check date, time and zone in the system's settings; the ledger's order is by seq.",
    ),
    "SETTINGS_WRONG": (
        "the daemon is idle: settings are wrong",
        "Mend the line that is named; the agent looks again every minute.",
    ),
    "LEDGER_DAMAGED": (
        "the daemon is idle: the ledger cannot be believed",
        "`nightpress verify` says what is lost and which command brings it back.",
    ),
    "STUDIO_BUSY": (
        "another daemon works in this studio",
        "End that one (Ctrl-C where it runs); the agent then goes on by itself.",
    ),
    "PERSON_NEEDED": (
        "the daemon is idle: it must not go on by itself",
        "Do what the sentence beside it says; the agent looks again every minute.",
    ),
    "LAUNCHD": (
        "launchd refused the agent",
        "Log in at the Mac's own screen, then `nightpress service install` again.",
    ),
}
