"""Touches the time zone database: a zone by its name, and the zone of this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, tzinfo
from difflib import get_close_matches
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from daemon.wire.text import excerpt

# A link to where the system keeps the zones; on macOS by way of /var/db/timezone/zoneinfo.
_LOCALTIME = Path("/etc/localtime")
_KEPT = re.compile(r"(?:.*/zoneinfo[^/]*/)?(.+)")


def zone(name: str, environment: Mapping[str, str]) -> tzinfo | str:
    """The zone of this name, or in a sentence that there is none; '' is the machine's own."""
    return (_named(name) or _unknown(name)) if name else own_zone(environment)


def own_zone(environment: Mapping[str, str]) -> tzinfo:
    """The machine's zone: that of TZ, else the system's; ``datetime.UTC`` where it has none."""
    names = [environment.get("TZ", "").removeprefix(":")]
    with suppress(OSError):
        names.append(str(_LOCALTIME.readlink()))
    for name in names:
        if (kept := _KEPT.fullmatch(name)) and (found := _named(kept[1])):
            return found
    # A copy instead of a link: the rules are known, the name is not.
    with suppress(OSError, ValueError), _LOCALTIME.open("rb") as file:
        return ZoneInfo.from_file(file, key="localtime")
    return UTC


def _named(name: str) -> ZoneInfo | None:
    with suppress(LookupError, OSError, ValueError):
        return ZoneInfo(name)
    return None


def _unknown(name: str) -> str:
    names = sorted(available_timezones())
    by_spelling = {name.rpartition("/")[2].lower(): name for name in names}
    by_spelling |= {name.lower(): name for name in names}
    near = get_close_matches(name[:64].lower().replace(" ", "_"), by_spelling, n=3)
    meant = dict.fromkeys(by_spelling[each] for each in near) or ["Europe/Berlin"]
    return (
        f'There is no time zone "{excerpt(name)}". Write for example: timezone = '
        + " or ".join(f'"{each}"' for each in meant)
        + ". Without the line, the clock of this machine counts."
    )
