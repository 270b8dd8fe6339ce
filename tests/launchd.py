"""launchd for machines without one: a `launchctl` to be found on PATH, and the keeper of one agent.

Law: it is as hard as launchd where that hurts: an agent that leaves is still known for a while, and
what is in a dead daemon's process group is killed, whatever the agent asks for.
"""

from __future__ import annotations

import os
import plistlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_LAUNCHCTL = """\
#!{python} -IS
import json, os, stat, sys

root = {root!r}
verb, *words = sys.argv[1:]
with open(os.path.join(root, "calls"), "a") as calls:
    calls.write(" ".join([verb, *words]) + "\\n")
domain = "gui/%d" % os.getuid()
label = words[0].partition(domain + "/")[2]
if verb == "bootstrap":
    label = os.path.basename(words[1]).removesuffix(".plist")
agent, off = os.path.join(root, label), os.path.join(root, "disabled")
said = json.load(open(agent)) if os.path.isfile(agent) else None
disabled = open(off).read().split() if os.path.exists(off) else []

def put(value):
    with open(agent, "w") as file:
        json.dump(value, file)

if verb == "print":
    if said and said["leaving"]:
        said["leaving"] -= 1
        put(said) if said["leaving"] else os.unlink(agent)
    if not said:
        sys.exit(113)
    print(domain + "/" + label + " = {{\\n\\tactive count = 1\\n\\tpath = " + said["path"])
    print("\\tstate = " + said.get("state", "running"))
    print("\\n\\tdefault environment = {{\\n\\t\\tstate = odd\\n\\t}}\\n")
    if "pid" in said:
        print("\\tpid = %d" % said["pid"])
    print("\\tlast exit code = " + said.get("last", "(never exited)") + "\\n}}")
elif verb == "print-disabled":
    print("disabled services = {{")
    for each in disabled:
        print('\\t"%s" => disabled' % each)
    print('\\t"com.apple.other" => enabled\\n}}')
elif verb == "enable":
    open(off, "w").write(" ".join(each for each in disabled if each != label))
elif verb == "bootout":
    if not said:
        sys.exit(3)
    put(dict(said, leaving=2))
    sys.exit(36)
elif verb == "bootstrap":
    refused = os.path.join(root, "refuse")
    if os.path.exists(refused):
        code = open(refused).read()
        if code == "5":
            os.unlink(refused)
        print("Bootstrap failed: " + code + ": Input/output error", file=sys.stderr)
        sys.exit(int(code))
    import plistlib
    plist = plistlib.load(open(words[1], "rb"))
    mode = os.stat(words[1])
    assert plist["Label"] == label and not mode.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if said or label in disabled:
        sys.exit(37 if said and not said["leaving"] else 5)
    put(dict(path=words[1], leaving=0, pid=4242))
else:
    sys.exit(64)
"""


class Launchctl:
    """A `launchctl` in ``folder``, which is to be on PATH, and what it remembers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "state"
        self.root.mkdir(parents=True)
        program = folder / "launchctl"
        program.write_text(_LAUNCHCTL.format(python=sys.executable, root=str(self.root)))
        program.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """The verbs it was asked, `print` left out."""
        lines = (self.root / "calls").read_text().splitlines()
        return [word for word in (line.split()[0] for line in lines) if word != "print"]

    def remember(self, label: str, said: str) -> None:
        """What it says of an agent from now on, as JSON."""
        (self.root / label).write_text(said)

    def switch_off(self, label: str) -> None:
        """As the user does in System Settings."""
        (self.root / "disabled").write_text(label)

    def refuse(self, code: int) -> None:
        """`bootstrap` fails so: once for 5, always for others."""
        (self.root / "refuse").write_text(str(code))


class Keeper:
    """Starts an agent as launchd does, from its property list alone."""

    def __init__(self, plist: Path, **more: str) -> None:
        self._plist: Mapping[str, Any] = plistlib.loads(plist.read_bytes())
        self._more = more

    @contextmanager
    def life(self) -> Iterator[subprocess.Popen[bytes]]:
        """One life of the agent's program. When it is over, its process group is killed."""
        with Path(self._plist["StandardErrorPath"]).open("ab") as log:
            child = subprocess.Popen(
                self._plist["ProgramArguments"],
                cwd=self._plist["WorkingDirectory"],
                env={**self._plist["EnvironmentVariables"], **self._more},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )
        try:
            yield child
            child.wait(self._plist["ExitTimeOut"])
        finally:
            child.kill()
            child.wait()
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
