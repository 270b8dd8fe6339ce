"""The output of a training, read: pieces of it, any bytes at all, any cut of either stream."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daemon.craft.training_end import Reading
from daemon.wire.sd_output import PIECE_LIMIT, STEPS_LIMIT, TrainerOutput, loss_csv

OUT = """\
accelerator device: mps
prepare optimizer, data loader etc.
running training / 学習開始
  num batches per epoch / 1epochのバッチ数: 4
  num epochs / epoch数: 2

epoch 1/2

NaN found in latents, replacing with zeros

saving checkpoint: out/model saved.safetensors

epoch 2/2
"""
LOG = " " * 20 + "INFO     "
SAVED = LOG + "model saved.                  train_network.py:1729\n"


def bar(step: int, postfix: str = "", steps: int = 8) -> str:
    blocks = "█" * min(step, 9) + "▌"
    return f"\rsteps:  {step}%|{blocks:10}| {step}/{steps} [00:08<01:02:13,  2.73s/it{postfix}]"


def loss(value: str) -> str:
    return f", avr_loss={value}"


ERR = (
    "2026-11-22 08:41:13 INFO     bucket_reso_steps: 64            train_util.py:1\n"
    + bar(0)
    + LOG
    + "epoch is incremented.             train_util.py:784\n"
    + bar(1)
    + bar(1, loss("1.13"))
    + bar(2, loss("1.13"))
    + "\n\r 50%|█████     | 1/2 [00:01<00:01,  1.44s/it]\x1b[A"
    + "\n\rvalidation steps:  50%|█████     | 4/8 [00:01<00:01,  1.44s/it, avr_loss=9]"
    + bar(2, loss("0.0834"))
    + bar(3, loss("0.0834"))
    + bar(3, loss("nan"))
    + "2026-11-22 08:41:15"
    + SAVED[19:]
    + bar(3, loss("nan"))
    + "\n"
)


def read(out: str = "", err: str = "") -> TrainerOutput:
    output = TrainerOutput()
    output.feed_stdout(out.encode())
    output.feed_stderr(err.encode())
    return output


def test_both_streams_are_read_to_their_last_word() -> None:
    """N4.2: progress and loss come from the bar, epochs from the lines around it."""
    output = read(OUT, ERR)
    found = output.reading
    assert found.loss is not None
    assert math.isnan(found.loss)
    assert found == Reading(
        device="mps", loaded=True, trained=True, epoch=2, epochs=2, epoch_batches=4, step=3,
        steps=8, loss=found.loss, saved=True, nan_latents=True,
    )  # fmt: skip
    assert list(output.losses) == [1, 2, 3]
    assert list(output.losses.values())[:2] == [1.13, 0.0834]
    assert math.isnan(output.losses[3])


def test_the_bar_that_still_stands_counts() -> None:
    output = read(err=bar(5, loss("0.2")) + bar(5, loss("0.1")))
    assert output.reading == Reading(step=5, steps=8, loss=0.1)
    assert output.losses == {5: 0.2}
    assert read(err=bar(5, loss("0.1"))).losses == {5: 0.1}


@pytest.mark.parametrize(
    "text",
    ["bucket_reso_steps: 64\n", "  steps: 5%|█| 5/8 [00:00<00:00, 1it/s]\n", "step 3/8\n"]
    + [f"\r{kind}{bar(5)[1:]}\n" for kind in ("validation ", "epoch validation ", "it ")],
)
def test_what_is_no_training_bar_moves_nothing(text: str) -> None:
    assert read(err=text).reading == Reading()


def test_with_accumulation_the_loss_of_a_step_is_the_one_when_it_was_done() -> None:
    """The bar is drawn again at each micro-batch of the next step, whose loss is not this one's."""
    said = [(0, "1.03"), (1, "1.03"), (1, "1.03"), (1, "1.07"), (2, "1.07"), (2, "1.08")]
    more = [(2, "1.09"), (3, "1.1"), (4, "1.1"), (5, "1.2"), (5, "1.2")]
    output = read(err="".join(bar(n, loss(value)) for n, value in said + more) + "\n")
    # The steps 3 and 5 were too fast for a first drawing; that of 4 reads like the one before.
    assert output.losses == {1: 1.03, 2: 1.08, 3: 1.1, 4: 1.1, 5: 1.2}


def test_a_step_is_settled_when_the_next_has_come_or_all_is_saved() -> None:
    assert read(err="").settled_step == 0
    assert read(err=bar(4, loss("1")) + bar(4, loss("2"))).settled_step == 3
    assert read(err=bar(4, loss("2")) + bar(5, loss("2"))).settled_step == 4
    assert read(err=bar(8, loss("2")) + "\n" + SAVED).settled_step == 8


@pytest.mark.parametrize(
    ("err", "error"),
    [
        (bar(2) + "Traceback (most recent call last):\n  ValueError: no\nOSError: cut", ""),
        (bar(2) + "Traceback (most recent call last):\nOSError: cut\n" + bar(2), "OSError: cut"),
        ("KeyError: 'a'\n\nThe above …:\n\nb.c.MultipleInvalid: x\n", "b.c.MultipleInvalid: x"),
        ("    \nKeyboardInterrupt\n", "KeyboardInterrupt"),
        ("usage: …\nx.py: error: no --y\n", "x.py: error: no --y"),
        ("py: can't open file 'x.py': no\n", "py: can't open file 'x.py': no"),
        (" " * 20 + "ERROR    No data found. Please / 画像   t.py:5\n", "No data found. Please"),
        (bar(2) + " 2026-11-22 07:55:42 ERROR    Error loading file:    t.py:2\n",
         "Error loading file:"),
        (" " * 29 + "ERROR    of a wrapped line\n" + LOG + "ValueError: none\n", ""),
        ("OSError: \x1b[31mred\x1b[0m \u202e\n", "OSError: red \\u202e"),
    ],
)  # fmt: skip
def test_the_last_line_that_explains_is_the_error(err: str, error: str) -> None:
    assert read(err=err).reading.error == error


@pytest.mark.parametrize(
    ("out", "err", "saved"),
    [
        ("", SAVED, True),
        ("model saved.\n", "", True),
        ("", "\r 50%|█████     | 1/2 [00:01<00:01]\x1b[A2026-11-22 08:41:15" + SAVED[19:], True),
        ("", "\x1b[2m" + SAVED[:20] + "\x1b[0m\x1b[34m" + SAVED[20:], True),
        ("saving checkpoint: model saved.\n", " " * 29 + "model saved.\n", False),
    ],
)
def test_saved_is_the_message_and_no_path(out: str, err: str, saved: bool) -> None:
    assert read(out, err).reading.saved == saved


def test_a_line_without_end_takes_no_more_room_than_the_limit() -> None:
    output = TrainerOutput()
    for _ in range(50):
        output.feed_stderr(b"OSError: x" + b"y" * 1000)
    assert len(output._err.pending) == PIECE_LIMIT
    output.feed_stderr(b"\n")
    assert output.reading.error.startswith("OSError: xyyy")
    assert len(output.reading.error) <= 300


LONG = (bar(1).replace("█", "█" * PIECE_LIMIT) + "\n").encode()
texts = st.lists(
    st.sampled_from([*OUT.splitlines(keepends=True), *ERR.split("\r"), "\r", "\n"])
    | st.sampled_from(["OSError: ü\n", " " * 20 + "ERROR    x\n", "é" * 3000, "█"])
    | st.text(max_size=20)
).map(lambda parts: "".join(parts).encode())
streams = texts | st.binary()


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    ends = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(ends)]


@given(streams, streams, st.lists(st.integers(0)), st.lists(st.integers(0)), st.randoms())
@example(OUT.encode(), ERR.encode(), list(range(9999)), list(range(9999)), None)
@example(b"", LONG, [], list(range(99999)), None)
def test_no_cut_and_no_order_of_the_streams_changes_what_is_read(
    out: bytes, err: bytes, out_cuts: list[int], err_cuts: list[int], chance: object
) -> None:
    whole, pieces = TrainerOutput(), TrainerOutput()
    whole.feed_stdout(out)
    whole.feed_stderr(err)
    queues = [cut(out, out_cuts), cut(err, err_cuts)]
    feeds = [pieces.feed_stdout, pieces.feed_stderr]
    while any(queues):
        pick = getattr(chance, "randrange", lambda _: 0)(2)
        pick = pick if queues[pick] else 1 - pick
        feeds[pick](queues[pick].pop(0))
    assert repr(pieces.reading) == repr(whole.reading)
    assert repr(pieces.losses) == repr(whole.losses)
    assert pieces.settled_step == whole.settled_step


@pytest.mark.parametrize("number", ["9" * 5000, "9" * 99, "1.2.3", "1e999999", "-", "٣"])
def test_a_number_that_is_none_is_no_error(number: str) -> None:
    output = read(f"epoch {number}/4\n", bar(1, loss(number)) + "\n")
    output.feed_stderr((bar(1).replace("1/8", f"{number}/{number}") + "\n").encode())
    assert max(output.reading.epoch, output.reading.step) < 10**9


def test_a_bar_without_a_loss_leaves_the_last_one_standing() -> None:
    assert read(err=bar(1, loss("0.5")) + bar(2) + "\n").reading.loss == 0.5


def test_losses_are_kept_of_so_many_steps_and_no_more() -> None:
    said = [bar(n, loss(str(n)), steps=10**8) for n in (1, STEPS_LIMIT, 10**7)]
    assert list(read(err="".join(said) + "\n").losses) == [1, STEPS_LIMIT]


def test_the_losses_are_written_as_a_table() -> None:
    rows = [(4, 1, 0.1), (8, 2, math.nan)]
    assert loss_csv(rows) == b"step,epoch,average_loss\n4,1,0.1\n8,2,nan\n"
