"""`service` as a person meets it, with a `launchctl` that imitates launchd's."""

from __future__ import annotations

import json
import os
import plistlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.bootstrap import make_studio
from daemon.cli import examining, main
from daemon.home import at_home
from tests.launchd import Launchctl

Captured = pytest.CaptureFixture[str]


@dataclass(frozen=True)
class Mac:
    """A studio of a user of a Mac."""

    studio: Path
    home: Path
    launchctl: Launchctl
    captured: Captured

    @property
    def label(self) -> str:
        return f"com.nightpress.{(self.studio / 'ledger' / 'studio').read_text().strip()}"

    @property
    def file(self) -> Path:
        return self.home / "Library" / "LaunchAgents" / f"{self.label}.plist"

    def service(self, *words: str) -> tuple[int, str]:
        """Exit status, and what was said on both streams with its lines joined."""
        code = main(["--studio", str(self.studio), "service", *words])
        said = self.captured.readouterr()
        return code, " ".join((said.out + said.err).split())


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> Mac:
    home = tmp_path.resolve() / "home"
    launchctl = Launchctl(tmp_path / "bin")
    for name in ("COMFYUI_BASE_PATH", "COMFYUI_URL", "SD_SCRIPTS_PATH", "NIGHTPRESS_STUDIO"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", str(launchctl.folder))
    make_studio(home / "farm", {"HOME": str(home)})
    return Mac(home / "farm", home, launchctl, capsys)


def test_a_studio_without_an_agent_says_how_to_get_one(mac: Mac) -> None:
    code, said = mac.service("status")
    assert code == 1
    assert said == (
        "No agent is installed for this studio. `nightpress service install` makes one."
    )
    assert mac.service("uninstall") == (0, "Nothing was installed for this studio.")


def test_what_is_printed_is_what_is_installed(mac: Mac, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYUI_BASE_PATH", str(mac.home / "ComfyUI"))
    assert main(["--studio", str(mac.studio), "service", "print"]) == 0
    printed = mac.captured.readouterr().out
    code, said = mac.service("install")
    assert code == 0
    assert "launchd starts this studio's daemon now and at each login" in said
    assert f"models in {mac.home}/ComfyUI" in said
    assert mac.file.read_text() == printed
    variables = plistlib.loads(mac.file.read_bytes())["EnvironmentVariables"]
    assert variables["COMFYUI_BASE_PATH"] == str(mac.home / "ComfyUI")
    assert (mac.studio / ".nightpress" / "logs").is_dir()
    code, said = mac.service("status")
    assert (code, said) == (0, f"{mac.label} is running, pid 4242.")


def test_settings_that_have_changed_since_are_named(
    mac: Mac, monkeypatch: pytest.MonkeyPatch
) -> None:
    mac.service("install")
    monkeypatch.setenv("COMFYUI_BASE_PATH", str(mac.home / "ComfyUI"))
    code, said = mac.service("status")
    assert code == 1
    assert "Other settings than it was installed with: COMFYUI_BASE_PATH." in said
    assert "Changed: COMFYUI_BASE_PATH" in mac.service("install")[1]
    assert mac.service("status")[0] == 0


def test_what_uninstalling_leaves_is_said(mac: Mac) -> None:
    mac.service("install")
    lease = {"job": "spyke_v1", "kind": "train", "stage": ""}
    (mac.studio / "outbox" / "status.json").write_text(json.dumps({"lease": lease}))
    code, said = mac.service("uninstall")
    assert code == 0
    assert "nothing starts at login" in said
    assert "The training spyke_v1 goes on to its end" in said
    assert "everything in outbox/ stay" in said
    assert not mac.file.exists()
    assert (mac.studio / "ledger").is_dir()


@pytest.mark.parametrize("place", ["Documents", "Desktop/manga", "Library/Mobile Documents/x"])
def test_a_guarded_place_is_refused_with_what_to_do(mac: Mac, place: str) -> None:
    (mac.home / place).parent.mkdir(parents=True, exist_ok=True)
    moved = mac.studio.rename(mac.home / place)
    mac = Mac(moved, mac.home, mac.launchctl, mac.captured)
    code, said = mac.service("install")
    assert code == 1
    assert "~/farm" in said
    assert "Full Disk Access" in said
    assert not mac.file.exists()
    assert mac.service("install", "--anyway")[0] == 0


def test_models_in_a_guarded_place_are_refused_too(
    mac: Mac, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ComfyUI's desktop program proposes a folder in Documents."""
    monkeypatch.setenv("COMFYUI_BASE_PATH", str(mac.home / "Documents" / "ComfyUI"))
    code, said = mac.service("install")
    assert code == 1
    assert "Documents/ComfyUI: macOS guards" in said


@pytest.mark.parametrize(
    ("agent", "told"),
    [
        ({"state": "waiting", "last": "78: EX_CONFIG"}, "It last ended with 78: EX_CONFIG."),
        ({"pid": 99}, "is idle, pid 99. SETTINGS_WRONG: Mend it."),
        ({"pid": 98}, "is running, pid 98."),
    ],
)
def test_each_state_of_the_agent_is_told(mac: Mac, agent: dict[str, object], told: str) -> None:
    mac.service("install")
    mac.launchctl.remember(mac.label, json.dumps({"path": "x", "leaving": 0, **agent}))
    daemon = {"pid": 99, "code": "SETTINGS_WRONG", "text": "Mend it."}
    (mac.studio / "outbox" / "status.json").write_text(json.dumps({"daemon": daemon}))
    code, said = mac.service("status")
    assert told in said
    assert code == (0 if "running" in told else 1)
    mac.captured.readouterr()
    main(["--studio", str(mac.studio), "service", "status", "--json"])
    assert json.loads(mac.captured.readouterr().out)["pid"] == agent.get("pid", 0)


def test_one_that_is_switched_off_or_not_loaded_is_told(mac: Mac) -> None:
    mac.service("install")
    (mac.launchctl.root / mac.label).unlink()
    mac.launchctl.switch_off(mac.label)
    code, said = mac.service("status")
    assert code == 1
    assert "launchd has not loaded it" in said
    assert "It is switched off (System Settings, General, Login Items)" in said


def test_a_copy_of_a_studio_does_not_take_the_agent_of_the_other(mac: Mac) -> None:
    mac.service("install")
    make_studio(mac.home / "copy", {"HOME": str(mac.home)})
    (mac.home / "copy" / "ledger" / "studio").write_text(
        (mac.studio / "ledger" / "studio").read_text()
    )
    copy = Mac(mac.home / "copy", mac.home, mac.launchctl, mac.captured)
    code, said = copy.service("install")
    assert code == 1
    assert f"already keeps {mac.studio}" in said


def test_elsewhere_launchd_is_said_to_be_macos_only_and_print_still_works(
    mac: Mac, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for action in ("install", "uninstall", "status"):
        code, said = mac.service(action)
        assert code == 1
        assert "only macOS has it" in said
        assert "nightpress run" in said
    assert mac.service("print")[0] == 0


def test_doctor_tells_what_status_tells(mac: Mac) -> None:
    def severity() -> list[str]:
        home = at_home(mac.studio, os.environ)
        return [found.severity for found in examining._agent(home)]

    assert severity() == ["warn"]
    mac.service("install")
    assert severity() == ["fine"]
    mac.launchctl.switch_off(mac.label)
    assert severity() == ["bad"]
