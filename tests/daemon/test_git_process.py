"""git in the studio of a real daemon that draws."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gitting import Repository
from tests.process import PANEL, RealStudio, until

pytestmark = pytest.mark.realprocess


class Press:
    """A daemon's studio in a repository; ``before`` is a branch without a ledger."""

    def __init__(self, folder: Path) -> None:
        self.studio = RealStudio(folder)
        self.repository = Repository(self.studio.root)
        self.repository.git("init", "-q", "--template=", "-b", "main")
        self.repository.commit("a studio")
        for command in (
            "checkout -qb before",
            "rm -rq ledger",
            "commit -qm none",
            "checkout -q main",
        ):
            self.repository.git(*command.split())
        self.seen: set[str] = set()

    def draw(self, name: str) -> None:
        """One panel, to its end."""
        self.drop(name)
        until(lambda: f"{name}_r1" in [line["job"] for line in self._events("result.published")])
        self.look()

    def drop(self, name: str) -> None:
        """A panel that is like no other: the same bytes again would be the same request."""
        self.studio.drop(name, f'{PANEL}ref = "{name}"\n')

    def look(self) -> None:
        """Remember each line that is there."""
        for file in self.studio.root.glob("ledger/*/*.jsonl"):
            self.seen.update(line for line in file.read_text().splitlines(True) if line[-1] == "\n")

    def told(self) -> list[str]:
        """What status.json says was put back."""
        incidents = self.studio.status()["incidents"]
        return [each["text"] for each in incidents if each["code"] == "LEDGER_RESTORED"]

    def check(self, *names: str) -> None:
        """Every line that was ever there is there, and each panel was drawn once."""
        seen = set(self.seen)
        self.look()
        [file] = self.studio.root.glob("ledger/*/*.jsonl")
        assert seen <= set(file.read_text().splitlines(keepends=True))
        assert self.studio.nightpress("verify").returncode == 0
        published = [line["job"] for line in self.studio.events("result.published")]
        assert sorted(published) == sorted(f"{name}_r1" for name in names)

    def _events(self, kind: str) -> list[dict[str, str]]:
        try:
            return [dict(line) for line in self.studio.events(kind)]
        except FileNotFoundError:  # git has it just now.
            return []


@pytest.fixture
def press(tmp_path: Path) -> Iterator[Press]:
    made = Press(tmp_path)
    yield made
    made.studio.close()


def test_git_works_beside_a_daemon_that_draws_and_what_it_took_is_told(press: Press) -> None:
    with press.studio.running():
        press.draw("ch01_p001")
        press.repository.commit("the first panel")
        press.draw("ch01_p002")
        press.repository.git("stash", "-q")
        until(press.told)
        # The ledger has its lines again, so git cannot bring them a second time.
        popped = press.repository.git("stash", "pop", check=False)
        assert popped.returncode == 1
        assert "local changes" in popped.stderr
        press.drop("ch01_p003")
        for command in ("reset -q --hard", "checkout -qf before", "checkout -qf main"):
            press.repository.git(*command.split())
            press.look()
        until(lambda: len(press.told()) >= 2)
        press.draw("ch01_p004")
        assert "were missing (" in press.told()[0]
    press.check("ch01_p001", "ch01_p002", "ch01_p003", "ch01_p004")


def test_a_daemon_finds_its_ledger_again_on_a_branch_that_has_none(press: Press) -> None:
    with press.studio.running():
        press.draw("ch01_p001")
    press.look()
    press.repository.commit("the first panel")
    [host] = press.studio.root.glob("ledger/*/machine")
    press.repository.git("checkout", "-q", "before")
    assert not host.exists()
    with press.studio.running():
        until(press.told)
        press.draw("ch01_p002")
    assert host.exists()
    press.check("ch01_p001", "ch01_p002")
