"""Every recorded end of a real sd-scripts is told for what it was, and none for a success."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from daemon.core.jobs import Outcome
from daemon.craft.training_end import Ending, verdict
from daemon.wire.sd_output import TrainerOutput
from tests import needs

SUCCEEDED = (Outcome.SUCCEEDED, "")
TERMINATED, KILLED = (Outcome.LOST, "TERMINATED"), (Outcome.LOST, "KILLED")
INTERRUPTED, STATE_BROKEN = (Outcome.LOST, "INTERRUPTED"), (Outcome.LOST, "STATE_BROKEN")


def failed(code: str) -> tuple[Outcome, str]:
    return Outcome.FAILED, code


ENDS: Mapping[str, tuple[Outcome, str]] = {
    "a1-success": SUCCEEDED,
    "a2-success-buffered": SUCCEEDED,
    "a3-success-tty": SUCCEEDED,
    "a4-success-simple-log": SUCCEEDED,
    "a5-success-columns240": SUCCEEDED,
    "a6-epochs-accum": SUCCEEDED,
    # Its log went to a file of its own, and "model saved." with it.
    "a7-log-file": failed("TRAINER_UNPROVEN"),
    "a8-workers-spawn": SUCCEEDED,
    "a8b-workers-fork": SUCCEEDED,
    "a9-cache-latents": SUCCEEDED,
    "a10-rotate": SUCCEEDED,
    "a11-validation": SUCCEEDED,
    "a12-tqdm-env": SUCCEEDED,
    "a13-traindir": SUCCEEDED,
    "a14-tqdm-ascii-env": failed("TRAINER_FAILED"),
    "a15-no-tqdm": SUCCEEDED,
    "b1-sigterm": TERMINATED,
    "b2-sigterm-buffered": TERMINATED,
    "b3-sigterm-workers": TERMINATED,
    "b4-sigterm-loading": TERMINATED,
    "b5-sigstop-cont": SUCCEEDED,
    "c1-sigkill": KILLED,
    "c2-sigkill-in-save": KILLED,
    "c3-sigkill-workers": KILLED,
    "d1-sigint": INTERRUPTED,
    "d2-sigint-group-workers": INTERRUPTED,
    "d3-sigint-loading": INTERRUPTED,
    "d4-sigint-inherited-ignore": SUCCEEDED,
    "e1-missing-image-dir": failed("NOTHING_TRAINED"),
    "e2-missing-train-data-dir": failed("NOTHING_TRAINED"),
    "e2b-train-dir-no-subfolders": failed("NOTHING_TRAINED"),
    "e3-truncated-image": failed("IMAGE_BROKEN"),
    "e4-not-an-image": failed("IMAGE_BROKEN"),
    "e5-wrong-checkpoint-path": failed("MODEL_MISSING"),
    "e6-truncated-checkpoint": failed("MODEL_BROKEN"),
    "e7-garbage-checkpoint": failed("MODEL_BROKEN"),
    "e8-wrong-architecture": failed("MODEL_WRONG"),
    "e9-use-8bit-adam-eq-false": failed("TRAINER_OPTIONS"),
    "e10-no-xformers": failed("TRAINER_OPTIONS"),
    "e11-8bit-adam-without-bitsandbytes": failed("TRAINER_PACKAGE"),
    "e12-xformers-missing": failed("TRAINER_PACKAGE"),
    "e13-fp16-no-gpu": failed("PRECISION"),
    "e14-missing-config-file": failed("TRAINER_FAILED"),
    "e15-bad-dataset-key": failed("TRAINER_DOCUMENTS"),
    "e16-disk-full": (Outcome.LOST, "DISK_FULL"),
    "e17-output-dir-unwritable": failed("TRAINER_FAILED"),
    "e18-missing-prompts": SUCCEEDED,
    "e19-unknown-toml-key": SUCCEEDED,
    "e20-empty-dir": failed("NOTHING_TRAINED"),
    "e21-no-network-module": failed("TRAINER_FAILED"),
    "e22-toml-syntax": failed("TRAINER_DOCUMENTS"),
    "e23-resume-missing": STATE_BROKEN,
    "e24-toml-string-number": failed("TRAINER_FAILED"),
    "e25-toml-int-resolution": failed("TRAINER_DOCUMENTS"),
    "e26-no-captions": SUCCEEDED,
    "e27-mixed-no-bucket": failed("TRAINER_DOCUMENTS"),
    "e28-mixed-bucket": SUCCEEDED,
    "e29-bad-choice": failed("TRAINER_OPTIONS"),
    "e30-no-dataset": failed("TRAINER_DOCUMENTS"),
    "e31-persistent-without-workers": failed("TRAINER_FAILED"),
    "e32-bucket-smaller-than-min": failed("TRAINER_DOCUMENTS"),
    "e33-few-reg": SUCCEEDED,
    "e34-bf16-cpu": SUCCEEDED,
    "e35-caption-ext-default": SUCCEEDED,
    "e36-empty-caption": failed("CAPTION_EMPTY"),
    "e37-rgba-cmyk": SUCCEEDED,
    "e38-no-tokenizer-offline": failed("TOKENIZER_MISSING"),
    "f0-first": KILLED,
    "f0e-first-epochs": KILLED,
    "f0g-first-accum": KILLED,
    "f0m-first": KILLED,
    "f1-resume": SUCCEEDED,
    "f2-resume-skip": SUCCEEDED,
    "f3-resume-epochs": SUCCEEDED,
    "f4-resume-epochs-skip": SUCCEEDED,
    "f5-network-weights": SUCCEEDED,
    "f6-resume-past-end": STATE_BROKEN,
    "f7-resume-halfwritten": STATE_BROKEN,
    "f8-resume-accum-skip": SUCCEEDED,
    "f9-resume-midepoch-skip": SUCCEEDED,
    "f10-resume-initial-epoch": SUCCEEDED,
    "f11-resume-initial-step": SUCCEEDED,
    "f12-resume-initial-epoch-accum": SUCCEEDED,
    "g1-nan": failed("LOSS_NAN"),
    "h1-accelerate": SUCCEEDED,
    # The launcher died; that the orphan below it went on and saved is nobody's to know.
    "h2-accelerate-sigterm": TERMINATED,
    "h3-accelerate-error": failed("TRAINER_FAILED"),
    "h4-accelerate-child-killed": failed("TRAINER_FAILED"),
}
NUMBERED = re.compile(r"-(?:step\d{8}|\d{6})(?:-state/|\.safetensors)")


def folder() -> Path:
    beside = Path(__file__).parents[2].parent / "shared" / "recordings"
    return needs.file(Path(os.environ.get("NIGHTPRESS_RECORDINGS") or beside) / "sd-scripts")


def rows(name: str) -> Sequence[dict[str, Any]]:
    text = needs.file(folder() / f"{name}.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def feed(output: TrainerOutput, row: Mapping[str, Any]) -> None:
    """A terminal shows both streams in one, so that what it shows is read as either."""
    if row.get("s") in ("out", "tty") and "d" in row:
        output.feed_stdout(row["d"].encode())
    if row.get("s") in ("err", "tty") and "d" in row:
        output.feed_stderr(row["d"].encode())


def test_the_table_has_every_recording() -> None:
    assert {path.stem for path in folder().glob("*.jsonl")} == set(ENDS)


@pytest.mark.parametrize("name", ENDS)
def test_a_recorded_end_is_told_for_what_it_was(name: str) -> None:
    """Successes that are none: NaN (g1), no pictures (e1, e2, e20), an orphan that saved (h2)."""
    output, recorded = TrainerOutput(), rows(name)
    for row in recorded:
        feed(output, row)
    status, files = recorded[-1]["returncode"], recorded[-1]["files"]
    ending = Ending(None, -status) if status < 0 else Ending(status)
    # The recorder saw no final file cut short: one that is there was whole.
    found = verdict(output.reading, ending, complete=files.get("mylora.safetensors", 0) > 0)
    assert (found.outcome, found.code) == ENDS[name], found.text


@pytest.mark.parametrize("name", ENDS)
def test_every_recorded_bar_is_read(name: str) -> None:
    """N4.2: each step that was drawn has its loss, and the last reading is the last bar's."""
    output, recorded = TrainerOutput(), rows(name)
    for row in recorded:
        feed(output, row)
    told = "".join(row["d"] for row in recorded if row.get("s") in ("err", "tty") and "d" in row)
    bars = re.findall(r"[\r\n]steps: [^|\r]*\|[^|\r]*\| (\d+)/(\d+) ([^\r]*?\])", told)
    last = bars[-1] if bars else ("0", "0", "")
    assert (output.reading.step, output.reading.steps) == (int(last[0]), int(last[1]))
    done = {int(step) for step, _, rest in bars if int(step) and "avr_loss=" in rest}
    # Who is killed may not have come to draw its last step with that step's own loss.
    killed = {int(last[0])} if recorded[-1]["returncode"] < 0 else set()
    assert done - killed <= set(output.losses) <= done
    assert bool(bars) <= (output.reading.epoch_batches > 0)


@pytest.mark.parametrize("name", ENDS)
def test_nothing_of_a_settled_step_is_written_afterwards(name: str) -> None:
    """The files of a step are whole when the next step has come, those of an epoch as well."""
    output, steps = TrainerOutput(), dict[str, int]()
    for row in rows(name):
        feed(output, row)
        saved = NUMBERED.search(row.get("path", ""))
        if row.get("type") == "fs" and saved and not row.get("gone"):
            step = steps.setdefault(row["path"], output.reading.step)
            assert output.settled_step < step, row
