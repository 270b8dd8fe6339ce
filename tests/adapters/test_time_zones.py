"""A time zone is found by its name; the machine's own by what the system says of itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from daemon.adapters import time_zones
from daemon.adapters.time_zones import own_zone, zone

SUMMER = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.fixture
def localtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the system's zone would be; there is none yet."""
    monkeypatch.setattr(time_zones, "_LOCALTIME", tmp_path / "localtime")
    return tmp_path / "localtime"


def test_a_zone_has_its_name() -> None:
    assert zone("Europe/Berlin", {}) == ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Berlin", '"Europe/Berlin" or '),
        ("europe/berlim", '"Europe/Berlin"'),
        ("New York", '"America/New_York"'),
        ("Europe", '"Europe/'),
        ("../Europe/Berlin", '"Europe/Berlin"'),
        ("/etc/passwd", '"Europe/Berlin"'),
        ("\x1b[31m\0", "\\x1b"),
        ("é" * 300, "…"),
        ("\udc80", '"Europe/Berlin"'),
    ],
)
def test_what_is_no_zone_is_answered_with_the_nearest(name: str, meant: str) -> None:
    said = zone(name, {})
    assert isinstance(said, str)
    assert said.startswith("There is no time zone ")
    assert meant in said
    assert said.isprintable()


@pytest.mark.parametrize(
    "target",
    [
        "/var/db/timezone/zoneinfo/Asia/Kolkata",
        "../usr/share/zoneinfo/Asia/Kolkata",
        "/usr/share/zoneinfo.default/Asia/Kolkata",
    ],
)
def test_the_systems_zone_is_where_its_link_points(localtime: Path, target: str) -> None:
    localtime.symlink_to(target)
    assert zone("", {}) == own_zone({}) == ZoneInfo("Asia/Kolkata")


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("Asia/Tokyo", "Asia/Tokyo"),
        (":Asia/Tokyo", "Asia/Tokyo"),
        ("/usr/share/zoneinfo/Asia/Tokyo", "Asia/Tokyo"),
        ("", "Asia/Kolkata"),
        ("nonsense", "Asia/Kolkata"),
    ],
)
def test_tz_goes_before_the_link_where_it_names_a_zone(
    localtime: Path, variable: str, name: str
) -> None:
    localtime.symlink_to("/usr/share/zoneinfo/Asia/Kolkata")
    assert own_zone({"TZ": variable}) == ZoneInfo(name)


def test_a_copy_instead_of_a_link_is_a_zone_without_a_name(localtime: Path) -> None:
    localtime.write_bytes(_tzif(hours=-3))
    assert own_zone({}).utcoffset(SUMMER.replace(tzinfo=None)) == timedelta(hours=-3)


@pytest.mark.parametrize("data", [None, b"", b"TZif", b"no zone"])
def test_a_machine_that_tells_nothing_is_in_utc(localtime: Path, data: bytes | None) -> None:
    if data is not None:
        localtime.write_bytes(data)
    found: tzinfo = own_zone({})
    assert found is UTC


def _tzif(*, hours: int) -> bytes:
    """A zone file of the first version with one offset, as RFC 8536 has it."""
    counts = b"".join(count.to_bytes(4, "big") for count in (0, 0, 0, 0, 1, 4))
    offset = (hours * 3600).to_bytes(4, "big", signed=True)
    return b"TZif\0" + bytes(15) + counts + offset + b"\0\0" + b"-03\0"
