"""Whatever is dropped, the answer is a value: quickly, in printable words, and with true advice."""

from __future__ import annotations

import time

from hypothesis import example, given
from hypothesis import strategies as st

from daemon.core.jobs import Asked, Control
from daemon.core.policy import Policy
from daemon.wire.job_file import Refused, read_job_file
from tests.wire.bad_job_files import PANEL

POLICY = Policy()


def read(data: bytes | str) -> Asked | Control | Refused:
    data = data.encode() if isinstance(data, str) else data
    return read_job_file(data, stem="ch01_p003", policy=POLICY)


@given(st.integers(-8, 1100), st.integers(-8, 1100))
def test_a_size_passes_exactly_when_the_rule_says_so(width: int, height: int) -> None:
    """A2.1."""
    allowed = (
        64 <= width <= 768
        and 64 <= height <= 768
        and width % 8 == height % 8 == 0
        and width * height <= 393_216
    )
    found = read(PANEL + f"width = {width}\nheight = {height}\n")
    assert isinstance(found, Asked) == allowed


@given(st.integers(65, 768), st.integers(65, 768))
def test_a_size_that_is_proposed_would_pass(width: int, height: int) -> None:
    """A2.1: advice that is refused in its turn is worse than none."""
    found = read(PANEL + f"width = {width // 8 * 8}\nheight = {height // 8 * 8}\n")
    if isinstance(found, Refused):
        proposals = found.errors[0].text.partition("Write ")[2].split(", or ")
        for proposal in proposals:
            lines = proposal.replace(" and ", "\n")
            assert isinstance(read(PANEL + lines), Asked), proposal


KEYS = ("kind", "prompt", "lora", "controlnet", "end", "ref", "seeds", "steps", "a", "resolution")
TEXTS = ("panel", "train", "cancel", "pause", "", "x" * 300, "\x1b", "../a.pt", "a_v1", "spyke")
LEAVES = st.one_of(
    st.sampled_from(TEXTS), st.integers(), st.floats(), st.booleans(), st.dates(), st.times()
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=8,
)


def spelled(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + value.replace("\x1b", "\\u001b") + '"'
        case list():
            return "[" + ", ".join(map(spelled, value)) + "]"
        case dict():
            return (
                "{" + ", ".join(f"{key} = {spelled(inner)}" for key, inner in value.items()) + "}"
            )
        case _:
            return str(value)


@given(st.dictionaries(st.sampled_from(KEYS), VALUES))
def test_any_values_in_any_place_lead_to_a_value(table: dict[str, object]) -> None:
    text = "".join(f"{key} = {spelled(value)}\n" for key, value in table.items())
    found = read(text)
    if isinstance(found, Refused):
        assert 1 <= len(found.errors) <= POLICY.max_complaints
        assert all(error.text and error.text.isprintable() for error in found.errors)


@given(st.binary(max_size=20_000))
@example(b"[" * 16_000)
@example(b"a=" + b"{a=" * 5_000)
@example(b"[" + b"a." * 8_000 + b"a]")
@example(b"\n".join(b"a.a.a.a.a.a.a.a.a.a.a.a.a.a.a=1" for _ in range(500)))
@example(b"[" + b"a." * 32 + b"a]\n" + b"".join(b"k%d=1\n" % n for n in range(2_000)))
@example(b"x = 0x" + b"f" * 16_000)
@example(b"x = " + b"9" * 16_000)
@example(b'x = "' + b'\\"' * 8_000)
@example(b'"""' * 5_400)
@example(b"x = '''" + b"''" * 8_000)
@example(b"end=true\n" * 1_800 + b"x")
@example(b"end = true" + b"\n" * 16_000 + b"x")
@example(b"end = true" + b" " * 16_000 + b"x")
@example(PANEL.encode() + b"seeds = [" + b"1.5," * 4_000 + b"]")
@example(PANEL.encode() + b"seeds = [" + b"1," * 8_000 + b"]")
@example(PANEL.encode() + b"".join(b"[[lora]]\n" for _ in range(1_750)))
@example(PANEL.encode() + b"".join(b"%x=1\n" % n for n in range(2_500)))
@example(b'kind = "panel"\n"' + b"k" * 16_000 + b'" = 1')
def test_any_bytes_lead_to_a_value_within_half_a_second(data: bytes) -> None:
    """No file in the inbox stops the daemon or holds it up."""
    before = time.process_time()
    found = read(data)
    assert time.process_time() - before < 0.5
    assert isinstance(found, (Asked, Control, Refused))


MUTATIONS = st.tuples(st.integers(0, len(PANEL) - 1), st.sampled_from(list("\"'[]{}=.,#\n\\\0“5")))


@given(st.lists(MUTATIONS, max_size=6))
def test_a_file_with_slips_of_the_hand_is_read_or_answered_on_one_of_its_lines(
    slips: list[tuple[int, str]],
) -> None:
    text = PANEL
    for place, character in slips:
        text = text[:place] + character + text[place + 1 :]
    found = read(text)
    if isinstance(found, Refused):
        assert all(0 <= error.line <= text.count("\n") + 1 for error in found.errors)


@given(st.text(max_size=300))
def test_no_text_of_a_job_reaches_the_answer_raw(text: str) -> None:
    """Complaints are printed, and a terminal obeys control characters."""
    quoted = "".join(f"\\U{ord(c):08X}" for c in text if not 0xD800 <= ord(c) <= 0xDFFF)
    for key in ("panel", "checkpoint", "sampler", "workflow", "ref", f'"{quoted}"'):
        found = read(f'{PANEL.partition("checkpoint")[0]}{key} = "{quoted}"\n')
        if isinstance(found, Refused):
            assert all(e.text.isprintable() and e.key.isprintable() for e in found.errors)
