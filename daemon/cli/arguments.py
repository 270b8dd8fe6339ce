"""The face: what can be written after `nightpress`, and which function of this room does it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TypeAlias

from daemon import __version__

Arguments = argparse.Namespace
Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001

_ABOUT = """\
Drop job files, wake up to manga panels. One GPU, one writer, one ledger.

  nightpress demo          see it work in a throw-away studio, without a GPU
  nightpress init DIR      make a studio
  nightpress run           start printing (leave it running)
  nightpress submit FILE   ask for a panel
  nightpress status        where everything stands
"""
_EXIT = "Exit status: 0 fine, 1 the answer is bad, 2 the command line was wrong."
_STUDIO = "the studio (default: $NIGHTPRESS_STUDIO, else the nearest folder upwards with one)"
_JOB = "a job such as ch01_p003_v1; a name such as ch01_p003 means the newest job of that name"
_JOBS = f"{_JOB}; or a pattern such as 'ch01_*'"
_NEWEST = f"{_JOBS}, for the newest job of each name"

_VERBS = (
    ("run", "studio.run", "The daemon, in the foreground; ends at Ctrl-C or SIGTERM."),
    ("init", "studio.init", "Make a studio; nothing that is there is overwritten."),
    ("demo", "demo.demo", "The whole way from job files to results, in a throw-away studio."),
    ("check", "asking.check", "What acceptance would say of job files, without dropping them."),
    ("submit", "asking.submit", "Drop job files into the inbox, each whole or not at all."),
    ("again", "again.again", "New requests from recorded ones, with another LoRA or other values."),
    ("status", "standing.status", "Where everything stands."),
    ("why", "standing.why", "Why a job waits, and the earliest time at which it could start."),
    ("show", "history.show", "One job: what was asked, where it stands, what it made."),
    ("log", "history.log", "The ledger's events, oldest first."),
    ("verify", "verify.verify", "Check every line of the ledger against its chain."),
    ("rebuild", "rebuild.write_again", "Write status files, requests and locks again."),
    ("explain", "explain.explain", "Where a picture, a lock or a LoRA comes from, by the ledger."),
    ("seeds", "seeds.seeds", "Every approved picture's seed; writes outbox/seeds-HARDWARE.json."),
    ("models", "models.models", "What is installed and what it is, with hashes and warnings."),
    ("dataset", "", "Training pictures: judged, cut from a sheet, captioned, taken from panels."),
    ("reproduce", "reproduce.again", "Draw a published picture again, and compare."),
    ("calibrate", "reproduce.calibrate", "The reference run: how fast and how alike it draws."),
    ("prune", "prune.prune", "Remove states and checkpoints that nobody needs, and old logs."),
    ("doctor", "doctor.doctor", "What about this machine would spoil a night, and its remedy."),
    ("service", "service.service", "The launchd agent that keeps this studio's daemon alive."),
    ("schema", "schema.schema", "The shapes of job files, locks, status and ledger."),
    ("cancel", "asking.control", "Cancel jobs that wait or run."),
    ("retry", "asking.control", "Try failed, cancelled or quarantined jobs again."),
    ("approve", "asking.approve", "Choose a picture, or the checkpoint that becomes the LoRA."),
    ("pause", "asking.control", "Start nothing new; what runs goes on. It survives a restart."),
    ("resume", "asking.control", "End a pause."),
)
_DATASET_VERBS = (
    ("lint", "dataset.lint", "What a training would say of a folder of pictures, and refuse."),
    ("crop", "dataset_crop.crop", "Cut a reference sheet into pictures; propose where, at first."),
    ("caption", "dataset_caption.caption", "Let the WD14 tagger write the captions that lack."),
    ("add", "dataset_add.add", "Make training pictures of published panels."),
)


def parse(argv: Sequence[str]) -> Arguments:
    """The arguments as a namespace with ``verb``, and ``home``: the module and function for it.

    Exits with 2 when they are wrong.
    """
    parser = argparse.ArgumentParser(
        prog="nightpress",
        description=_ABOUT,
        epilog=_EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"nightpress {__version__}")
    parser.add_argument("--studio", metavar="DIR", help=_STUDIO)
    # Told its name, argparse need not format a help text to find it out, which is slow.
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", prog=parser.prog)
    for row in _VERBS:
        added = _added(verbs, row)
        if row[0] == "dataset":
            name = f"{parser.prog} dataset"
            inner = added.add_subparsers(metavar="VERB", prog=name, required=True)
            for each in _DATASET_VERBS:
                _add_dataset_options(_added(inner, each), each[0])
        else:
            _add_options(added, row[0])
    arguments = parser.parse_args(argv)
    if arguments.verb is None:
        parser.print_help(sys.stderr)
        sys.exit(2)
    return arguments


def _added(verbs: Verbs, row: tuple[str, str, str]) -> argparse.ArgumentParser:
    verb, home, about = row
    parser = verbs.add_parser(verb, help=about, description=about, allow_abbrev=False)
    parser.set_defaults(home=home)
    if verb not in ("init", "demo"):
        # SUPPRESS: what stood before the verb must not be forgotten when nothing stands after.
        parser.add_argument("--studio", metavar="DIR", default=argparse.SUPPRESS, help=_STUDIO)
    return parser


def _add_dataset_options(parser: argparse.ArgumentParser, verb: str) -> None:
    match verb:
        case "lint":
            parser.add_argument("folder", metavar="DIR", help="pictures with .txt captions")
            what = "what each caption must have, and how the model reads it"
            parser.add_argument("--trigger", metavar="WORD", default="", help=what)
            what = "what the character always has, such as 'white cloak'; may be given again"
            parser.add_argument("--feature", metavar="TAG", action="append", default=[], help=what)
            parser.add_argument("--json", action="store_true", help="one JSON document")
        case "crop":
            parser.add_argument("sheet", metavar="SHEET", help="a picture with several figures")
            what = "where to cut; without it SHEET.boxes.toml is proposed, for you to correct"
            parser.add_argument("--boxes", metavar="FILE", help=what)
            what = "where the pictures go (default: beside the sheet)"
            parser.add_argument("--into", metavar="DIR", help=what)
            what = "also cut what is smaller than 512 pixels, which the trainer then enlarges"
            parser.add_argument("--small", action="store_true", help=what)
        case "caption":
            parser.add_argument("dir", metavar="DIR", help="the dataset; captions there are kept")
        case "add":
            parser.add_argument("jobs", nargs="+", metavar="JOB", help=_NEWEST)
            parser.add_argument("--into", metavar="DIR", required=True, help="the dataset")
    if verb in ("crop", "caption"):
        what = "the trigger that the captions begin with (default: TRIGGER, to be replaced)"
        parser.add_argument("--trigger", metavar="WORD", default="TRIGGER", help=what)
    if verb in ("crop", "add"):
        what = "overwrite what is there"
        parser.add_argument("--force", action="store_true", help=what)


def _add_options(parser: argparse.ArgumentParser, verb: str) -> None:
    match verb:
        case "init":
            parser.add_argument("dir", metavar="DIR", help="its folder, new or in use already")
        case "check" | "submit":
            parser.add_argument("files", nargs="+", metavar="FILE")
        case "why" | "show" | "approve":
            parser.add_argument("job", metavar="JOB", help=_JOB)
        case "reproduce":
            what = "a picture's lock file below outbox/, such as outbox/ch01_v1/ch01_v1.lock.toml"
            parser.add_argument("lock", metavar="LOCK", help=what)
        case "calibrate":
            what = "draw this published picture thrice, in place of the reference run"
            parser.add_argument("lock", metavar="LOCK", nargs="?", help=what)
            for role in ("checkpoint", "vae"):
                what = "what the reference run draws with (default: as the last job did)"
                parser.add_argument(f"--{role}", metavar="NAME", default="", help=what)
        case "schema":
            names = ("job", "panel", "train", "control", "calibrate", "lock", "training-lock")
            what = "one of them, as JSON (default: all in one document)"
            parser.add_argument("name", nargs="?", choices=(*names, "status", "ledger"), help=what)
            what = "JSON Schema 2020-12 (default), or TypeScript types of everything"
            parser.add_argument("--format", choices=("json", "ts"), default="json", help=what)
        case "again":
            parser.add_argument("jobs", nargs="+", metavar="JOB", help=_NEWEST)
            what = "a LoRA for another, as in spyke_v1=spyke_v2; jobs without it are left out"
            parser.add_argument("--lora", action="append", metavar="OLD=NEW", help=what)
            what = (
                "a key of the job file and its TOML value (a bare word is a text), as in steps=30, "
                "controlnet.strength=0.7 or variations=4; the seeds stay as recorded unless set"
            )
            parser.add_argument("--set", action="append", metavar="KEY=VALUE", help=what)
        case "explain":
            parser.add_argument("file", metavar="FILE", help="wherever it lies, whatever its name")
        case "cancel" | "retry":
            parser.add_argument("job", metavar="JOB", help=_JOBS)
        case "log":
            parser.add_argument("job", metavar="JOB", nargs="?", help=_JOB)
            parser.add_argument("--follow", action="store_true", help="go on as events are added")
            since = (
                "a review of what happened since then: a git revision, a seq number, or a day such "
                "as 2026-11-20; with JOB, --code, --follow or --json the events since then"
            )
            parser.add_argument("--since", metavar="REV", help=since)
            code = (
                "only the events with this code or verdict, such as NAN_IN_PICTURE; of pictures "
                "also seed, sampler, scheduler, steps and launch profile, with --json too"
            )
            parser.add_argument("--code", metavar="CODE", default="", help=code)
    _add_flags(parser, verb)


def _add_flags(parser: argparse.ArgumentParser, verb: str) -> None:
    if verb == "approve":
        result = parser.add_mutually_exclusive_group()
        result.add_argument("--image", type=int, metavar="N", help="a panel's picture, from 1")
        what = "a training's checkpoint by its step, installed into the engine's models/loras"
        result.add_argument("--checkpoint", type=int, metavar="STEP", help=what)
    if verb == "rebuild":
        what = "also in folders that somebody removed; pictures and checkpoints cannot be rebuilt"
        parser.add_argument("--all", action="store_true", help=what)
    if verb in ("submit", "again"):
        parser.add_argument("--wait", action="store_true", help="follow them; exit by how they end")
    if verb == "prune":
        parser.add_argument("--dry-run", action="store_true", help="only show what would go")
    if verb == "status":
        parser.add_argument("--watch", action="store_true", help="keep showing it")
    if verb == "service":
        actions = ("install", "uninstall", "status", "print")
        parser.add_argument("action", choices=actions, help="print: the property list")
        what = "install although a folder is in a place that macOS guards"
        parser.add_argument("--anyway", action="store_true", help=what)
        parser.add_argument("--json", action="store_true", help="status as one JSON document")
    if verb == "models":
        parser.add_argument("--hash", action="store_true", help="hash what is not hashed yet")
    if verb in ("status", "why", "show", "log", "verify", "models", "explain", "seeds", "doctor"):
        what = "the ledger's own lines" if verb == "log" else "one JSON document"
        parser.add_argument("--json", action="store_true", help=f"{what}, for programs")
