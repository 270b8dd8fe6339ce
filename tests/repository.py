"""A real git repository for tests, with a maker who works in it by hand."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests import needs


@dataclass(frozen=True)
class Repository:
    """A work tree and the environment in which git is run there, with nothing of this machine's."""

    root: Path
    environment: Mapping[str, str]

    def git(self, *arguments: str, at: str = ".", fails: bool = False) -> str:
        """What git prints, without the last newline. ``fails``: it must exit with a complaint."""
        done = subprocess.run(
            [needs.program("git"), *arguments],
            cwd=self.root / at,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode != 0) is fails, done.stderr
        return done.stdout.removesuffix("\n")

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def commit(self, message: str) -> str:
        """Everything there is, committed; the commit."""
        self.git("add", "-A")
        self.git("commit", "-qm", message)
        return self.git("rev-parse", "HEAD")

    @property
    def status(self) -> list[str]:
        """``git status --porcelain``, a line each."""
        return self.git("status", "--porcelain").splitlines()


def environment(home: Path) -> Mapping[str, str]:
    """A maker called Mia on a machine without any other configuration."""
    home.mkdir(parents=True, exist_ok=True)
    config = home / ".gitconfig"
    config.write_text("[user]\nname = Mia\nemail = mia@example.com\n[init]\ndefaultBranch = main\n")
    path = Path(needs.program("git")).parent
    return {
        "PATH": f"{path}:/usr/bin:/bin",
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(config),
    }


def repository(folder: Path) -> Repository:
    """A new repository with one commit: a page of the maker's, and a folder .nightpress ignored."""
    made = Repository(folder / "manga", environment(folder / "home"))
    made.root.mkdir()
    made.git("init", "-q")
    made.write("page.txt", "one\n")
    made.write(".gitignore", ".nightpress/\n")
    (made.root / ".nightpress").mkdir()
    made.commit("first page")
    return made
