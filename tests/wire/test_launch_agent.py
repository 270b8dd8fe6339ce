"""The property list: exact types, whatever the paths are, and what launchctl says of it."""

from __future__ import annotations

import plistlib
from collections.abc import Iterator, Mapping
from itertools import islice, product
from unicodedata import normalize

import pytest

from daemon.errors import AskerError
from daemon.wire.launch_agent import (
    Agent,
    Loaded,
    differences,
    guarded_places,
    is_disabled,
    plist_bytes,
    property_list,
    read_loaded,
    read_plist,
)

AGENT = Agent("0123456789ab", "/Users/you/farm", "/Users/you", "/Users/you/np/.venv/bin/python")
KEYS: Mapping[str, type] = {
    "Label": str,
    "ProgramArguments": list,
    "WorkingDirectory": str,
    "EnvironmentVariables": dict,
    "RunAtLoad": bool,
    "KeepAlive": bool,
    "ThrottleInterval": int,
    "ExitTimeOut": int,
    "AbandonProcessGroup": bool,
    "ProcessType": str,
    "LimitLoadToSessionType": str,
    "SoftResourceLimits": dict,
    "StandardOutPath": str,
    "StandardErrorPath": str,
}
"""All that launchd.plist(5) is asked for, and exactly as what: it reads no 1 for true."""
PRINTED = """\
gui/501/com.nightpress.0123456789ab = {
\tactive count = 1
\tpath = /Users/you/Library/LaunchAgents/com.nightpress.0123456789ab.plist
\ttype = LaunchAgent
\tstate = running

\tprogram = /Users/you/np/.venv/bin/python
\tdefault environment = {
\t\tPATH => /usr/bin:/bin:/usr/sbin:/sbin
\t\tstate = odd
\t}

\tdomain = gui/501 [100005]
\truns = 3
\tpid = 70123
\timmediate reason = speculative
\tlast exit code = 78: EX_CONFIG
\tspawn type = interactive (4)
}
"""


def odd_agents() -> Iterator[Agent]:
    users = (
        *("you", "Jürgen", normalize("NFD", "Jürgen"), "o'brien", 'a"b', "tom & co", "<x>", "x--y"),
        *("山田 太郎", "🦊", "space  two", "tab", "per%cent", "$HOME", "~", "back\\slash", "]]>"),
        *("\u202eltr", "n" * 200),
    )
    places = (
        *(
            "farm",
            "my farm",
            "a&amp;b",
            "<key>",
            "漫画\u3000帳",
            "e\u0301",
            "${HOME}",
            "`ls`",
            "#1",
        ),
        *("/".join(["deep" * 20] * 10), "'quoted'", '"'),
    )
    for user, place in product(users, places):
        home = f"/Users/{user}"
        folder = f"{home}/{place}"
        programs = (f"{home}/bin",)
        yield Agent("0123456789ab", folder, home, f"{home}/v/bin/python", folder, home, programs)


@pytest.mark.parametrize("group", range(19))
def test_two_hundred_odd_homes_users_and_paths_parse_back_equal(group: int) -> None:
    """What launchd reads is what was meant, with exact types."""
    agents = list(islice(odd_agents(), group * 12, group * 12 + 12))
    assert len(agents) == 12
    for agent in agents:
        wanted = property_list(agent, {"TZ": "Europe/Berlin", "SHELL": "/bin/zsh", "HF_HOME": ""})
        found = plistlib.loads(plist_bytes(wanted))
        assert found == wanted
        assert {key: type(value) for key, value in found.items()} == KEYS
        variables = found["EnvironmentVariables"]
        assert set(map(type, variables.values())) == {str}
        assert variables["TZ"] == "Europe/Berlin"
        assert not {"SHELL", "HF_HOME"} & set(variables)
        paths = [found[key] for key in KEYS if key.endswith(("Path", "Directory"))]
        paths += [found["ProgramArguments"][0], *variables["PATH"].split(":")]
        assert all(path.startswith("/") for path in paths)


def test_the_keys_without_which_a_night_ends_have_their_values() -> None:
    document = property_list(AGENT, {})
    assert document["KeepAlive"] is True
    assert document["AbandonProcessGroup"] is True
    assert document["ProcessType"] == "Interactive"
    assert document["SoftResourceLimits"] == {"NumberOfFiles": 4096}
    assert document["ProgramArguments"] == [AGENT.python, "-P", "-m", "daemon", "run"]


@pytest.mark.parametrize("folder", ["/a\nb\r", "/a\x1b", "/a\udcff", "/a\ufffe", "/a\0"])
def test_a_path_that_no_property_list_can_hold_is_refused_in_a_sentence(folder: str) -> None:
    agent = Agent("0123456789ab", folder, "/Users/you", "/python")
    with pytest.raises(AskerError, match="Rename"):
        plist_bytes(property_list(agent, {}))


def test_what_is_no_property_list_is_empty() -> None:
    assert read_plist(b"<plist>") == {}
    assert read_plist(b"") == {}
    assert read_plist(plistlib.dumps([1])) == {}


def test_what_installing_again_would_change_is_named() -> None:
    before = property_list(AGENT, {"TZ": "UTC"})
    moved = Agent(AGENT.studio, AGENT.folder, AGENT.home, "/new/python", base_path="/models")
    changed = differences(before, property_list(moved, {}))
    assert changed == ["ProgramArguments", "COMFYUI_BASE_PATH", "TZ"]
    assert differences(before, before) == []


def test_what_launchctl_prints_is_read_and_its_inner_parts_are_not() -> None:
    assert read_loaded(PRINTED) == Loaded("running", 70123, "78: EX_CONFIG")
    assert read_loaded("\tstate = waiting\n\tlast exit code = (never exited)") == Loaded("waiting")
    assert read_loaded("something else") == Loaded()


def test_a_label_that_is_switched_off_is_seen_in_old_and_new_words() -> None:
    label = "com.nightpress.0123456789ab"
    assert is_disabled(f'\t"{label}" => disabled\n', label)
    assert is_disabled(f'\t"{label}" => true\n', label)
    assert not is_disabled(f'\t"{label}" => enabled\n', label)
    assert not is_disabled(f'\t"{label}x" => disabled\n', label)


def test_places_that_macos_guards_are_recognised_as_its_volumes_compare_names() -> None:
    home = "/Users/Jürgen"
    guarded = [
        *(f"{home}/Documents", f"{home}/documents/farm", f"{home}/Desktop/a", "/Volumes/usb/farm"),
        normalize("NFD", f"{home}/Library/Mobile Documents/com~apple~CloudDocs/farm"),
    ]
    free = [f"{home}/farm", f"{home}/Documents2", "/Users/me/x", "/srv/Volumes/farm", ""]
    assert guarded_places([*guarded, *free], home + "/") == guarded
