"""Every check of the repository as one command, ``python -m tests``, or a longer campaign by name.

Law: all checks run whatever the earlier ones said, any failure makes the exit status 1, and pytest
comes last, so that its summary is the last line printed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PYTEST = (sys.executable, "-m", "pytest")

# A campaign's name and its file in tests/campaigns: what takes longer than a person waits.
CAMPAIGNS: Mapping[str, str] = {
    "burst": "test_burst.py",
    "crash": "test_crash.py",
    "days": "test_days.py",
    "git": "test_git.py",
    "hostile": "test_hostile.py",
    "kill": "test_kill.py",
    "matrix": "test_matrix.py",
    "month": "test_month.py",
    "quality": "test_quality.py",
    "slots": "test_slots.py",
    "windows": "test_windows.py",
}


def static_checks() -> Mapping[str, Sequence[str]]:
    """Name -> command line of every check that does not run the program."""
    return {
        "format": (str(BIN / "ruff"), "format", "--check", "--quiet", "."),
        "lint": (str(BIN / "ruff"), "check", "--quiet", "."),
        "types": (sys.executable, "-m", "mypy", "--no-error-summary"),
        "imports": (str(BIN / "lint-imports"), "--no-logo"),
    }


def passes(name: str, command: Sequence[str]) -> bool:
    """Run one check in the repository's root; its output is shown only when it fails."""
    began_s = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    took_s = time.monotonic() - began_s
    good = done.returncode == 0
    print(f"{name:<8} {'ok' if good else 'FAILED':<7} {took_s:5.1f} s", flush=True)
    if not good:
        shown = " ".join(Path(part).name if part.startswith("/") else part for part in command)
        print(f"$ {shown}\n{done.stdout}{done.stderr}", flush=True)
    return good


def run_everything() -> int:
    """All static checks, then all tests on up to four cores. Tests of real processes mostly wait,
    so there is a worker more than cores; a file's tests share a worker and what is costly to make.
    """
    failed = [name for name, command in static_checks().items() if not passes(name, command)]
    if failed:
        print(f"Failed so far: {', '.join(failed)}. The tests run all the same.", flush=True)
    workers = str(min(4, os.cpu_count() or 1) + 1)
    command = (*PYTEST, "-q", "-n", workers, "--dist", "loadfile")
    tests = subprocess.run(command, cwd=ROOT, check=False)
    return 1 if failed or tests.returncode else 0


def run_campaign(name: str, arguments: Sequence[str]) -> int:
    """One campaign; ``arguments`` go on to pytest. 2 when there is none of that name."""
    if name not in CAMPAIGNS:
        known = ", ".join(sorted(CAMPAIGNS)) or "none yet"
        print(f"There is no campaign {name!r}. Campaigns: {known}.", file=sys.stderr)
        return 2
    path = str(Path("tests", "campaigns", CAMPAIGNS[name]))
    return subprocess.run((*PYTEST, path, *arguments), cwd=ROOT, check=False).returncode


def main(arguments: Sequence[str]) -> int:
    return run_campaign(arguments[0], arguments[1:]) if arguments else run_everything()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
