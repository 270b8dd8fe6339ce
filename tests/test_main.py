"""The one command for every check answers a name it does not know, and shows what failed."""

from __future__ import annotations

import sys

import pytest

from tests import __main__ as checks
from tests import needs


def test_an_unknown_campaign_is_answered_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert checks.main(["no-such-campaign"]) == 2
    answer = capsys.readouterr().err
    assert "'no-such-campaign'" in answer
    assert all(name in answer for name in checks.CAMPAIGNS)


def test_every_campaign_has_its_file() -> None:
    folder = checks.ROOT / "tests" / "campaigns"
    assert [file for file in checks.CAMPAIGNS.values() if not (folder / file).is_file()] == []


@pytest.mark.realprocess
def test_a_failing_check_fails_and_shows_what_it_said(capsys: pytest.CaptureFixture[str]) -> None:
    complaint = (sys.executable, "-c", "print('line 7 is wrong'); raise SystemExit(1)")
    assert not checks.passes("lint", complaint)
    assert "line 7 is wrong" in capsys.readouterr().out


@pytest.mark.realprocess
def test_a_passing_check_says_only_that(capsys: pytest.CaptureFixture[str]) -> None:
    assert checks.passes("lint", (sys.executable, "-c", "print('all is well')"))
    assert "all is well" not in capsys.readouterr().out


def test_what_is_missing_is_skipped_at_home_and_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NIGHTPRESS_CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program"):
        needs.program("no-such-program")
    monkeypatch.setenv("NIGHTPRESS_CI", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-program"):
        needs.program("no-such-program")
