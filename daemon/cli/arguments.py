"""The face: what can be written after `nightpress`, and what it means."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from daemon import __version__

Arguments = argparse.Namespace

_ABOUT = """\
Drop job files, wake up to manga panels. One GPU, one writer, one ledger.

  nightpress demo          see it work in a throw-away studio, without a GPU
  nightpress init DIR      make a studio
  nightpress run           start printing (leave it running)
  nightpress submit FILE   ask for a panel
  nightpress status        where everything stands
"""
_EXIT = "Exit status: 0 fine, 1 the answer is bad, 2 the command line was wrong."
_JOB = "a job such as ch01_p003_v1; a name such as ch01_p003 means the newest job of that name"


def parse(argv: Sequence[str]) -> Arguments:
    """The arguments as a namespace with ``verb``. Exits with 2 when they are wrong."""
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

    def verb(name: str, about: str, *, studio: bool = True) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=about, description=about, allow_abbrev=False)
        if studio:
            # SUPPRESS: what stood before the verb must not be forgotten when nothing stands after.
            added.add_argument("--studio", metavar="DIR", default=argparse.SUPPRESS, help=_STUDIO)
        return added

    _starting(verb)
    _asking(verb)
    _reading(verb)
    _controlling(verb)
    arguments = parser.parse_args(argv)
    if arguments.verb is None:
        parser.print_help(sys.stderr)
        sys.exit(2)
    return arguments


_STUDIO = "the studio (default: $NIGHTPRESS_STUDIO, else the nearest folder upwards with one)"
_Verb = Callable[..., argparse.ArgumentParser]


def _starting(verb: _Verb) -> None:
    verb("run", "The daemon, in the foreground; ends at Ctrl-C or SIGTERM.")
    init = verb("init", "Make a studio; nothing that is there is overwritten.", studio=False)
    init.add_argument("dir", metavar="DIR", help="its folder, new or in use for other things")
    verb("demo", "The whole way from a job file to pictures, in a throw-away studio.", studio=False)


def _asking(verb: _Verb) -> None:
    check = verb("check", "Everything acceptance would say of job files, without dropping them.")
    check.add_argument("files", nargs="+", metavar="FILE")
    submit = verb("submit", "Drop job files into the inbox, each whole or not at all.")
    submit.add_argument("files", nargs="+", metavar="FILE")
    submit.add_argument("--wait", action="store_true", help="follow them; exit by how they end")


def _reading(verb: _Verb) -> None:
    status = verb("status", "Where everything stands.")
    status.add_argument("--watch", action="store_true", help="keep showing it")
    _json(status)
    why = verb("why", "Why a job waits, and the earliest time at which it could start.")
    why.add_argument("job", metavar="JOB", help=_JOB)
    _json(why)
    show = verb("show", "One job: what was asked, where it stands, what it made.")
    show.add_argument("job", metavar="JOB", help=_JOB)
    _json(show)
    log = verb("log", "The ledger's events, oldest first.")
    log.add_argument("job", metavar="JOB", nargs="?", help=_JOB)
    log.add_argument("--follow", action="store_true", help="go on as events are added")
    log.add_argument(
        "--since", metavar="REV", help="after this seq number, or after this git revision"
    )
    _json(log, about="the ledger's own lines")
    verify = verb("verify", "Check every line of the ledger against its chain.")
    _json(verify)


def _controlling(verb: _Verb) -> None:
    for name, about in (
        ("cancel", "Cancel jobs that wait or run."),
        ("retry", "Try failed, cancelled or quarantined jobs again."),
    ):
        parser = verb(name, about)
        parser.add_argument("job", metavar="JOB", help=f"{_JOB}; or a pattern such as 'ch01_*'")
    verb("pause", "Start nothing new; what runs goes on. It survives a restart.")
    verb("resume", "End a pause.")


def _json(parser: argparse.ArgumentParser, *, about: str = "one JSON document") -> None:
    parser.add_argument("--json", action="store_true", help=f"{about}, for programs")
