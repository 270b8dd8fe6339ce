"""Job files by the thousand: good ones bent and broken by chance, and some that chance wrote whole.

Law: a file's number is the file; the same number is the same bytes on every machine. As a program,
``python -m tests.shell.hostile_files FIRST COUNT``, it reads them as the daemon would, each to the
ledger lines that answer it, and prints what that cost as JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from daemon.core.commands import Reject, Submit, TakeControl
from daemon.core.events import ControlTaken, JobAccepted, JobDuplicate, JobRejected
from daemon.core.jobs import FileFacts
from daemon.core.policy import Policy
from daemon.shell.intake import Intake
from daemon.wire.ledger_line import Head, write_line
from daemon.wire.rejected import rejected_folder, rejected_status_toml
from tests.desk import Desk
from tests.fakes import MemoryDisk
from tests.shell.hostile import PANEL as GRAPH
from tests.shell.hostile import PATHS, PNG, SLOTS
from tests.sim.engine import SimPixels, SimWeights
from tests.wire.bad_job_files import ALL, NET, PANEL, TRAIN

POLICY = Policy()
LINE_LIMIT_BYTES = 128 * 1024
ANSWERS = (JobAccepted, JobRejected, JobDuplicate, ControlTaken)
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What a terminal obeys: control characters but tab and newline, and what turns text around."""
A_DESK = 250
"""So many files are answered by one writer, which then begins anew with an empty ledger."""

EVIL = (
    "\x00", "\x07", "\x08", "\r", "\x1b[2J", "\x1b]52;c;cm0gLXJm\x07", "\x1b]8;;file:///\x1b\\",
    "\x7f", "\x85", "\x9b31m", "\x9d", "\u061c", "\u200b", "\u200d", "\u200e", "\u200f", "\u2028",
    "\u2029", "\u202a", "\u202e", "\u2066", "\u2069", "\ufeff", "\ufffd", "\ufffe", "\ud800",
    "\U000e0041", "\U0010ffff", "\u0301" * 40, "\u3000", "а", "ｐａｎｅｌ", "ﬁ", "İ", "ß", "🧨",
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "&lt;", "{{7*7}}", "${HOME}",
    "$(touch x)", "`id`", "; rm -rf ~", "| sh", "--help", "-rf", "%s%n", "../..", "~root", "\\\\x",
    "=cmd|' /C calc'!A0", "' OR 1=1", "]]>", "\n[controlnet]\n", '"""', "'''", "#", "embedding:x",
)  # fmt: skip
NUMBERS = (
    "0", "-0", "-1", "1", "7", "64", "768", "769", "393216", "1e308", "1e309", "-1e309", "1e-400",
    "nan", "-nan", "inf", "+inf", "0x7fffffffffffffff", "0o777", "0b" + "1" * 600, "1_000", "1__0",
    str(2**31), str(2**53 - 1), str(2**53), str(2**63), str(-(2**63)), str(2**64), "9" * 63,
    "9" * 4300, "9" * 4301, "0x" + "f" * 8000, "1." + "0" * 5000, "1e" + "9" * 50, "00", "+5", ".5",
    "5.", "true", "false", "TRUE", "1979-05-27", "1979-05-27T07:32:00Z", "07:32:00", "0000-00-00",
    "9999-12-31T23:59:60.999999999999-23:59", "[]", "{}", "[[]]", "[1, [2, [3]]]", '""', "''",
)  # fmt: skip
TOKENS = (
    "=", ".", ",", "[", "]", "[[", "]]", "{", "}", '"', "'", '"""', "'''", "#", "\\", "\n", "\r\n",
    "\r", "\t", " ", "kind", "panel", "train", "end = true", "lora", "seeds", "[controlnet]",
    "[[lora]]", "[grid]", "[regularization]", "\\u0000", "\\U0010FFFF", "\\uD800", "\\x41", "a.b.c",
)  # fmt: skip
BOMBS: Mapping[str, bytes] = {
    "brackets": b"x = " + b"[" * 16_000,
    "braces": b"x = " + b"{a=" * 5_000,
    "tables": b"[" * 16_000,
    "brackets that close": b"x = " + b"[" * 8_000 + b"]" * 8_000,
    "one dotted key": b"a" + b".a" * 8_000 + b" = 1",
    "a dotted table": b"[" + b"a." * 8_000 + b"a]",
    "a dotted inline table": b"x = {" + b"a." * 8_000 + b"a = 1}",
    "keys that share a prefix": b"".join(b"a.a.a.a.a.a.a.a.k%d = 1\n" % n for n in range(600)),
    "dots up to the limit": b"\n".join(b"a" + b".a" * 31 + b"%d = 1" % n for n in range(200)),
    "a decimal number": b"seed = " + b"9" * 16_000,
    "a hexadecimal number": b"seed = 0x" + b"f" * 16_000,
    "a fraction": b"cfg = 0." + b"0" * 16_000 + b"1",
    "an exponent": b"cfg = 1e" + b"9" * 16_000,
    "infinity by overflow": PANEL.encode() + b"cfg = 1e400\n",
    "not a number": PANEL.encode() + b"cfg = nan\n",
    "escapes": b'x = "' + b"\\u001b" * 2_600 + b'"',
    "escaped quotes": b'x = "' + b'\\"' * 8_000,
    "quotes": b'"""' * 5_400,
    "a byte order mark": b"\xef\xbb\xbf" + PANEL.encode(),
    "ten megabytes of text": b'x = "' + b"x" * 10_000_000 + b'"',
    "five megabytes of keys": b"a.b.c = 1\n" * 500_000,
    "many tables": PANEL.encode() + b"[[lora]]\n" * 1_700,
    "many keys": PANEL.encode() + b"".join(b"k%d=1\n" % n for n in range(2_000)),
    "many comments": PANEL.encode() + b"#\n" * 8_000,
    "many ends": b"end = true\n" * 1_400,
}
"""The slow and the deep inputs of TOML readers, by name."""

FULL_PANEL = f"""{PANEL}negative = "blurry"
ref = "run-7/ch01/3"
priority = 3
width = 512
height = 768
seeds = [3, 1]
steps = 20
cfg = 7.5
sampler = "euler"
scheduler = "normal"
clip_skip = 2
workflow = "panel"
quality = "on"
[[lora]]
name = "spyke.safetensors"
strength = 0.7
{NET}strength = 0.65
start = 0.0
end = 1.0
"""
FULL_TRAIN = f"""{TRAIN}steps = 1000
network_dim = 16
learning_rate = 1e-4
optimizer = "AdamW"
features = ["white cloak", "red bandana"]
when = "night"
[regularization]
count = 150
prompt = "anime character"
class = "anime character"
[grid]
prompts = ["spyke_plasma_v1, running"]
seeds = [1, 2]
"""
CONTROLS = (
    'kind = "approve"\njob = "ch01_p003_v1"\nimage = 1\nref = "x"\n',
    'kind = "cancel"\njob = "ch01_p003_v1"\n',
    'kind = "reproduce"\nlock = "outbox/a_v1/a_v1.lock.toml"\n',
    'kind = "pause"\n',
)
GOOD = tuple(text.encode() for text in (PANEL, FULL_PANEL, TRAIN, FULL_TRAIN, *CONTROLS))
CORPUS = (*GOOD[:4] * 80, *GOOD[4:] * 20, *(bad.data for bad in ALL))
_KEYS = sorted(
    key
    for key in {line.partition(b" =")[0].decode() for data in GOOD for line in data.splitlines()}
    if key.isidentifier()
)
NAMES = (
    "ch01_p003", "CON", "..", "...", "-rf", "$(id)", "a b", "a/b", "a\nb", "a\x1b[2J", "a\u202eb",
    "x" * 250, "é", "e\u0301", "A", "<b>", "job.toml", ".hidden", "\ud800", "spyke", "ｐ", "名前",
)  # fmt: skip


def hostile_file(number: int) -> tuple[str, bytes]:
    """The name and the bytes of the file of this number."""
    chance = random.Random(number)
    data = chance.choice(CORPUS)
    for _ in range(chance.choice((1, 1, 1, 1, 2, 3, 8))):
        data = chance.choice(_BENDS)(chance, data)[: 2 * POLICY.max_job_file_bytes]
    return f"{chance.choice(('spyke', chance.choice(NAMES)))}.toml", data


def _text(chance: random.Random) -> str:
    parts = [chance.choice((*EVIL, *PATHS, *TOKENS, "spyke_v1", "rain, ")) for _ in range(4)]
    return ("".join(parts[: chance.randint(1, 4)]) * chance.choice((1, 1, 1, 9, 300)))[:20_000]


def _quoted(text: str) -> str:
    return '"' + "".join(c if c.isalnum() else f"\\U{ord(c):08X}" for c in text) + '"'


def _value(chance: random.Random, depth: int = 3) -> str:
    """A value as TOML, or as something like it."""
    match chance.randrange(7 if depth else 5):
        case 0 | 1:
            return chance.choice(NUMBERS)
        case 2:
            return _quoted(_text(chance))
        case 3:
            return f'"{_text(chance)}"'
        case 4:
            return f"'''{_text(chance)}'''"
        case 5:
            one = _value(chance, depth - 1)[:5_000]
            return "[" + ", ".join([one] * chance.choice((1, 2, 200))) + "]"
        case _:
            return "{" + f"{_key(chance)} = {_value(chance, depth - 1)}" + "}"


def _key(chance: random.Random) -> str:
    plain = chance.choice(_KEYS)
    odd = (plain.upper(), f"{plain}s", _quoted(_text(chance)), f"{plain}.{plain}", plain * 20)
    return chance.choice((plain, plain, plain, *odd))


def _flip(chance: random.Random, data: bytes) -> bytes:
    spoilt = bytearray(data or b"\0")
    for _ in range(chance.randint(1, 4)):
        spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
    return bytes(spoilt)


def _cut(chance: random.Random, data: bytes) -> bytes:
    start, end = sorted(chance.randint(0, len(data)) for _ in range(2))
    return data[:start] + data[end:]


def _repeat(chance: random.Random, data: bytes) -> bytes:
    start, end = sorted(chance.randint(0, len(data)) for _ in range(2))
    return data[:end] + data[start:end] * chance.choice((1, 3, 100)) + data[end:]


def _splice(chance: random.Random, data: bytes) -> bytes:
    at, token = chance.randint(0, len(data)), chance.choice((*TOKENS, *EVIL))
    return data[:at] + token.encode(errors="surrogatepass") + data[at:]


def _cross(chance: random.Random, data: bytes) -> bytes:
    other = chance.choice(CORPUS).splitlines(keepends=True)
    lines = [*data.splitlines(keepends=True), *other]
    chance.shuffle(lines)
    return b"".join(lines)


def _revalue(chance: random.Random, data: bytes) -> bytes:
    """Another value for one of the keys, or one more key."""
    lines = data.decode(errors="replace").splitlines()
    at = chance.randint(0, len(lines))
    key = lines[at].partition(" =")[0] if at < len(lines) and chance.random() < 0.8 else ""
    lines[at : at + 1] = [f"{key or _key(chance)} = {_value(chance)}"]
    return ("\n".join(lines) + "\n").encode(errors="surrogatepass")


def _say(chance: random.Random, data: bytes) -> bytes:
    """Other texts and numbers where the file has some, spelled as TOML has them."""
    lines = data.decode(errors="replace").splitlines()
    for at, line in enumerate(lines):
        key, _, value = line.partition(" = ")
        if key in ("prompt", "negative", "ref") and chance.random() < 0.5:
            evil = "".join(chance.choices(EVIL, k=2))
            lines[at] = (
                f"{key} = {_quoted(evil if chance.random() < 0.2 else OBEYED.sub('', evil))}"
            )
        elif value[:1].isdigit() and chance.random() < 0.3:
            lines[at] = f"{key} = {chance.choice(('0', '0.5', '1', '2', '30', '64', '512', value))}"
    return ("\n".join(lines) + "\n").encode(errors="surrogatepass")


def _nest(chance: random.Random, data: bytes) -> bytes:
    opened, closed = chance.choice(((b"[", b"]"), (b"{a=", b"}"), (b"a.", b""), (b"(", b")")))
    times = chance.choice((2, 15, 17, 33, 600, 5_000))
    return data + b"x = " + opened * times + b"1" + closed * times + b"\n"


def _encode(chance: random.Random, data: bytes) -> bytes:
    text = data.decode(errors="replace")
    other = chance.choice(("utf-16", "utf-8-sig", "latin-1", "utf-32-le", "cp037"))
    return text.encode(other, errors="replace")


def _noise(chance: random.Random, data: bytes) -> bytes:
    return chance.randbytes(chance.choice((0, 1, 40, 5_000)))


def _write(chance: random.Random, data: bytes) -> bytes:
    """A file of its own: known and unknown keys with any values, in any order."""
    kind = chance.choice(("panel", "train", "approve", "cancel", "reproduce", "prune", "kind"))
    lines = [f"{_key(chance)} = {_value(chance)}" for _ in range(chance.randint(1, 12))]
    return "\n".join([f'kind = "{kind}"', *lines, ""]).encode(errors="surrogatepass")


Bend = Callable[[random.Random, bytes], bytes]
_BENDS: Sequence[Bend] = (
    *(_flip, _cut, _repeat, _splice, _splice, _cross, _nest, _encode, _noise, _write),
    *(_revalue, _say, _say, _say) * 4,
)


def peak_mb() -> float:
    """The most memory that this process ever had. On Linux getrusage begins with its parent's."""
    with suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.partition("VmHWM:")[2].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


@dataclass
class Reading:
    """What became of the files: how many got which answer, and what the worst of them cost.

    ``wrong`` has a sentence about each that was answered badly.
    """

    answers: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    slowest: str = ""
    peak_mb: float = 0.0
    wrong: list[str] = field(default_factory=list)

    async def read(self, files: Iterator[tuple[str, str, bytes]]) -> None:
        """Answer files: what they are called here, their names, their bytes."""
        intake, desk = Intake(_studio(), POLICY, weights=SimWeights(), pixels=SimPixels()), Desk()
        for number, (told, name, data) in enumerate(files):
            if number % A_DESK == 0:
                desk = Desk()
            before_s = time.process_time()
            try:
                await self._answer(intake, desk, FileFacts(name, "", number, number, 0), data)
            except Exception as error:  # noqa: BLE001  # Whatever it is, it would stop a daemon.
                self.wrong.append(f"{told}: {error!r}")
            took_s = time.process_time() - before_s
            if took_s > self.slowest_s:
                self.slowest_s, self.slowest = took_s, told
        self.peak_mb = peak_mb()

    async def _answer(self, intake: Intake, desk: Desk, seen: FileFacts, data: bytes) -> None:
        name = seen.name.encode(errors="replace").decode()  # As the inbox spells it.
        file = FileFacts(name, sha256(data).hexdigest(), seen.inode, seen.mtime_ns, len(data))
        whole = data if len(data) <= POLICY.max_job_file_bytes else None
        command = await intake.examine(file, whole)
        assert isinstance(command, Submit | Reject | TakeControl)
        told = desk.do(command)
        for event in told:
            _, line = write_line(event, at=desk.at, head=Head())
            assert line.isascii()
            assert len(line) <= LINE_LIMIT_BYTES
        [answer] = [event for event in told if isinstance(event, ANSWERS)]
        if isinstance(answer, JobRejected):
            _check_refusal(answer, at=desk.at)
        self.answers[answer.type] += 1


def _check_refusal(answer: JobRejected, *, at: int) -> None:
    assert answer.errors
    assert all(error.text.strip() for error in answer.errors)
    assert all((error.text + error.key).isprintable() for error in answer.errors)
    shown = rejected_status_toml(answer, at=at).decode()
    assert not OBEYED.search(shown), shown
    assert "/" not in rejected_folder(answer).removeprefix("outbox/rejected/")


def _studio() -> MemoryDisk:
    disk = MemoryDisk()
    for name in ("panel", "evil"):
        disk.put(f"workflows/{name}.json", GRAPH.encode())
        disk.put(f"workflows/{name}.slots.toml", SLOTS.encode())
    disk.put("poses/ch01_p003.png", PNG)
    for number in range(15):
        disk.put(f"datasets/spyke/{number}.png", PNG + bytes([number]))
        caption = f"spyke_plasma_v1, white cloak, red bandana, pose {number}, view {number % 4}"
        disk.put(f"datasets/spyke/{number}.txt", caption.encode())
    return disk


def numbered(first: int, count: int) -> Iterator[tuple[str, str, bytes]]:
    """Files by number, as ``Reading`` wants them."""
    for number in range(first, first + count):
        yield (f"file {number}", *hostile_file(number))


def main(first: int, count: int) -> None:
    """Read the bombs and these files, and print what it was like."""
    reading = Reading()
    bombs = ((f"bomb {name!r}", "bomb.toml", data) for name, data in BOMBS.items())
    asyncio.run(reading.read(bombs))
    asyncio.run(reading.read(numbered(first, count)))
    print(json.dumps(vars(reading)))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
