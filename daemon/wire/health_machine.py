"""Spells what of the machine would spoil a night: memory, power, folder, disk, git, clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from daemon.core.hurdles import GIB, heavy_text
from daemon.core.policy import Policy
from daemon.core.world import Heavy, Machine
from daemon.wire.health import Finding, fine, symptom, unseen
from daemon.wire.instants import instant_text
from daemon.wire.launch_agent import guarded_places
from daemon.wire.phrases import counted


def machine_findings(machine: Machine, policy: Policy, *, mac: bool) -> Iterator[Finding]:
    """Of memory, programs, users and power, as far as they are known."""
    area = "memory"
    for signal, _ in machine.unknown:
        yield unseen(area, f"the {signal} of this machine")
    if machine.total_bytes and machine.free_bytes is not None:
        what = f"{machine.free_bytes / GIB:.1f} of {machine.total_bytes / GIB:.0f} GB can be had"
        yield fine(area, "MEMORY", f"{what} without swapping")
    if (machine.level or 0) >= policy.memory_hold_level:
        yield symptom(area, "MEMORY_PRESSURE", f"The system's memory pressure is {machine.level}")
    if machine.programs:
        why = "Beside a training they make the Mac swap."
        what = heavy_text(machine)
        yield Finding(area, "HEAVY_PROGRAMS", "warn", what, why, "Quit them in the evening.")
    if machine.users:
        what = f"{counted(machine.users, 'other user')} logged in"
        why = "Their sessions take memory and GPU."
        yield Finding(area, "OTHER_USERS", "warn", what, why, "Log them out in the evening.")
    if machine.on_ac is False and policy.require_ac:
        yield symptom("power", "ON_BATTERY", "The machine runs on its battery", "warn")
    elif machine.on_ac:
        yield fine("power", "POWER", "It is plugged in")
    if mac:
        why = "A closed lid puts the Mac to sleep, whatever keeps it awake."
        remedy = "Leave it open; the display may sleep."
        yield Finding("power", "LID", "warn", "The lid cannot be seen", why, remedy)


def heavy(programs: Sequence[tuple[str, int]]) -> tuple[Heavy, ...]:
    """Programs by name and bytes."""
    return tuple(Heavy(name, size) for name, size in programs)


def folder_findings(folder: str, home: str, *, mac: bool, fault: str) -> Iterator[Finding]:
    """Of the studio's place. ``fault``: a sentence why it could not be listed, read and written,
    '' = it could.
    """
    area = "folder"
    if fault:
        why = "Nothing can be taken or kept."
        remedy = "Mend what is named, then run `nightpress doctor` again."
        yield Finding(area, "FOLDER_REFUSED", "bad", fault, why, remedy)
    else:
        yield fine(area, "FOLDER", f"{folder} can be listed, read and written")
    if mac and guarded_places([folder], home):
        why = "A program that launchd starts is refused there, without a question (TCC)."
        remedy = "Move the studio, for example to ~/studio, before `nightpress service install`."
        what = f"{folder} is in a place that macOS guards"
        yield Finding(area, "FOLDER_GUARDED", "bad", what, why, remedy)


def disk_findings(
    free_bytes: int, policy: Policy, *, links: bool, sync_ms: float
) -> Iterator[Finding]:
    """Of the studio's volume. ``links``: it has hard links; ``sync_ms``: one flush to the drive."""
    area, free = "disk", free_bytes / GIB
    if free < policy.min_free_gb:
        yield symptom(area, "DISK_LOW", f"{free:.1f} GB are free")
    else:
        yield fine(
            area, "DISK", f"{free:.0f} GB are free; a flush to the drive takes {sync_ms:.0f} ms"
        )
    if not links:
        why = "What git takes of the ledger is put back only while a daemon lives."
        remedy = "Keep the studio on an APFS volume of this Mac."
        yield Finding(area, "NO_HARD_LINKS", "warn", "The volume has no hard links", why, remedy)


@dataclass(frozen=True, slots=True)
class GitSeen:
    """What git says of the studio: in a repository; the ledger is ignored; lines of .gitattributes;
    files of the ledger that no commit has as they are.
    """

    repository: bool = False
    ignored: bool = False
    attributes: str = ""
    dirty: int = 0


def git_findings(seen: GitSeen, *, checkpoints: bool) -> Iterator[Finding]:
    """Of the ledger in git."""
    area = "git"
    if not seen.repository:
        why = "There is no second copy of what happened."
        remedy = "`git init` in the studio, then commit it."
        yield Finding(
            area, "NO_REPOSITORY", "warn", "The studio is in no git repository", why, remedy
        )
        return
    if seen.ignored:
        why = "Commits do not have it, so nothing tells when its end is missing."
        remedy = "Take ledger/ out of .gitignore."
        yield Finding(area, "LEDGER_IGNORED", "bad", "git ignores the ledger", why, remedy)
    if "ledger/**" not in seen.attributes:
        why = "git may change its line ends, or merge lines of two branches into each other."
        remedy = "Write ledger/** -text -merge into .gitattributes."
        what = ".gitattributes does not speak of the ledger"
        yield Finding(area, "NO_ATTRIBUTES", "warn", what, why, remedy)
    if seen.dirty and not checkpoints:
        why = "They are lost with the folder."
        remedy = 'Commit ledger/, or write [git] checkpoint = "daily".'
        what = f"{counted(seen.dirty, 'segment')} of the ledger not committed as it is"
        yield Finding(area, "UNCOMMITTED", "warn", what, why, remedy)
    elif not seen.ignored:
        daily = "; committed daily" if checkpoints else ""
        yield fine(area, "GIT", f"The ledger is in git{daily}")


def clock_findings(*, zone: str, at: int, last: int, skew_s: float) -> Iterator[Finding]:
    """Of the clock: ``last`` is when the ledger's last line was written, ``skew_s`` by how much the
    volume's clock is ahead.
    """
    area = "clock"
    if last > at + 60_000:
        why = "Windows open at the wrong hour."
        what = f"The ledger's last line is from {instant_text(last)}, which is in the future"
        remedy = "Set the clock (System Settings, Date & Time, automatically)."
        yield Finding(area, "CLOCK_BACK", "bad", what, why, remedy)
    if abs(skew_s) > 2:
        why = "Whether a file is quiet is told by its time."
        what = f"The volume's clock is {skew_s:+.0f} s off"
        yield Finding(
            area, "CLOCK_SKEW", "warn", what, why, "Keep the studio on this machine's disk."
        )
    if zone in ("UTC", "Etc/UTC"):
        what = f"The hours are by {zone}"
        remedy = 'If that is not meant: [windows] timezone = "Europe/Berlin".'
        yield Finding(area, "ZONE_UTC", "warn", what, "22:00 may be another hour there.", remedy)
    else:
        yield fine(area, "CLOCK", f"The hours are by {zone}")


def agent_finding(what: str, *, good: bool, installed: bool) -> Finding:
    """Of the launchd agent, as `service status` tells of it."""
    if good:
        return fine("service", "AGENT", what)
    why = "After a crash, a logout or a restart nobody prints until `nightpress run` is started."
    remedy = "Do what it says; `nightpress service status` tells whether it helped."
    return Finding("service", "AGENT", "bad" if installed else "warn", what, why, remedy)
