"""Judges the end of a training: what its output said and how its process ended -> a verdict.

Law: exit status 0 proves nothing by itself (sd-scripts exits so with no picture found, and with a
loss of NaN): success is concluded from every proof together, never from fewer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from daemon.core.jobs import Outcome
from daemon.craft.killing import kill_code, killed


@dataclass(frozen=True, slots=True)
class Reading:
    """What a trainer's output has said so far. ``step`` and ``steps`` count optimizer steps of
    this run, ``epoch`` is the true one; ``error`` is one line, the last that explains a failure.
    """

    device: str = ""
    loaded: bool = False
    """The models are read; what cannot be read from here on is the state to resume from."""
    trained: bool = False
    epoch: int = 0
    epochs: int = 0
    epoch_batches: int = 0
    step: int = 0
    steps: int = 0
    loss: float | None = None
    saved: bool = False
    error: str = ""
    nan_latents: bool = False
    fallbacks: int = 0
    """How often it said that an operator is computed on the CPU."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How the process ended. ``code`` None: by ``signal``, or never known. ``stopped`` says why
    the shim ended it: '' (it ended by itself), "cancelled", "signal 15", "log full". ``evidence``
    speaks for memory as the cause of a signal 9.
    """

    code: int | None
    signal: int = 0
    stopped: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``text`` is one sentence for a person: what was seen and what to do; '' after a success."""

    outcome: Outcome
    code: str = ""
    text: str = ""


def verdict(reading: Reading, ending: Ending | None, *, complete: bool) -> Verdict:
    """How the attempt ended. ``complete``: the final file is there, new and whole. ``ending``
    None: there is no exit record although nobody runs any more.

    The maker's word wins: what was cancelled is cancelled, even if it had just succeeded.
    """
    if ending is None or ending == Ending(None):
        return _UNKNOWN
    if ending.stopped == "cancelled":
        return Verdict(Outcome.CANCELLED, "CANCELLED", "Cancelled by you.")
    judged = _judged(reading, ending, complete=complete)
    if not ending.stopped or judged.outcome is Outcome.SUCCEEDED:
        return judged
    return _LOG_FLOOD if ending.stopped == "log full" else _SHUT_DOWN


def _judged(reading: Reading, ending: Ending, *, complete: bool) -> Verdict:
    match ending.code:
        case None:
            return _signalled(ending)
        case 0:
            return _finished(reading, complete=complete)
        case 2:
            return _quoting(_OPTIONS, reading.error)
        case status:
            return _failed(reading, status)


def _finished(reading: Reading, *, complete: bool) -> Verdict:
    if not reading.trained:
        return _quoting(_NOTHING_TRAINED, reading.error)
    if reading.loss is not None and not math.isfinite(reading.loss):
        return _LOSS_NAN
    if reading.loss is None or not reading.saved:
        return _UNPROVEN
    return Verdict(Outcome.SUCCEEDED) if complete else _CHECKPOINT_BROKEN


def _signalled(ending: Ending) -> Verdict:
    if ending.signal == 9:
        text = f"{killed('The trainer', ending.evidence)}. It goes on from its last whole state."
        return Verdict(Outcome.LOST, kill_code(ending.evidence), text)
    code = {2: "INTERRUPTED", 15: "TERMINATED"}.get(ending.signal, "KILLED")
    text = (
        f"The trainer was ended from outside by signal {ending.signal}; look for who sent it, and"
        " it goes on from its last whole state."
    )
    return Verdict(Outcome.LOST, code, text)


def _failed(reading: Reading, status: int) -> Verdict:
    """By the last line of the traceback and how far the training had come."""
    line = f"{_stage(reading)} {reading.error}"
    unknown = f"The trainer ended with exit status {status}; read the end of its stderr.log"
    causes = ((code, text) for code, pattern, text in _CAUSES if re.search(pattern, line))
    code, text = next(causes, ("TRAINER_FAILED", unknown))
    outcome = Outcome.LOST if code in _LOST else Outcome.FAILED
    return _quoting(Verdict(outcome, code, text), reading.error)


def _stage(reading: Reading) -> str:
    if reading.trained:
        return "training"
    if reading.loaded:
        return "loaded"
    return "loading" if reading.device else "early"


def _quoting(found: Verdict, error: str) -> Verdict:
    said = f"the trainer said: {error}" if error else "the trainer did not say why"
    return replace(found, text=f"{found.text}; {said.rstrip('.')}.")


_UNKNOWN = Verdict(
    Outcome.LOST,
    "TRAINER_UNKNOWN",
    "How the training ended is unknown, because the shim that watched it was killed or the machine"
    " went down. The next attempt goes on from the last whole state.",
)
_SHUT_DOWN = Verdict(
    Outcome.STOPPED,
    "SHUT_DOWN",
    "The training was told to stop, by a log-out or a shutdown. It goes on from the last epoch.",
)
_LOG_FLOOD = Verdict(
    Outcome.FAILED,
    "LOG_FLOOD",
    "The training was stopped because its log grew past the limit; read the end of its stderr.log"
    " for what it repeats.",
)
_LOSS_NAN = Verdict(
    Outcome.FAILED,
    "LOSS_NAN",
    "The loss became NaN or infinite, so that the checkpoints hold no weights; lower learning_rate"
    " and run it again.",
)
_UNPROVEN = Verdict(
    Outcome.FAILED,
    "TRAINER_UNPROVEN",
    'The trainer ended well but never showed a loss or "model saved."; read its two logs, for its'
    " version may speak otherwise.",
)
_CHECKPOINT_BROKEN = Verdict(
    Outcome.LOST,
    "CHECKPOINT_BROKEN",
    "The trainer says that it saved its model, and the final file is missing, old or cut short;"
    " see whether the disk is full.",
)
_OPTIONS = Verdict(
    Outcome.FAILED,
    "TRAINER_OPTIONS",
    "The trainer refused its command line; see whether SD_SCRIPTS_PATH is a version that nightpress"
    " knows",
)
_NOTHING_TRAINED = Verdict(
    Outcome.FAILED,
    "NOTHING_TRAINED",
    "The trainer ended without training anything; see whether the dataset's pictures are there",
)

_LOST = frozenset({"DISK_FULL", "INTERRUPTED", "STATE_BROKEN"})
"""What the next attempt may be spared: admission waits for room on a disk that really is full, and
a damaged state is left for an earlier one. Twice in a row is enough, whatever the disk says."""

# Code, what fits "STAGE ERROR", what to say; the first that fits wins. Source: the recorded
# failures of sd-scripts; beyond them PyTorch's words for a full disk and for the GPU's memory,
# and Pillow's for a damaged picture.
_CAUSES: Sequence[tuple[str, str, str]] = (
    (
        "DISK_FULL",
        r"No space left on device|StorageFull|PytorchStreamWriter failed|unexpected pos \d",
        "The disk was full; free some space, and the next attempt goes on",
    ),
    (
        # So ends an interpreter that is interrupted before it has begun; later it is a signal.
        "INTERRUPTED",
        r" KeyboardInterrupt$",
        "The trainer was interrupted from outside; the next attempt goes on from the last state",
    ),
    (
        "MPS_OOM",
        r"out of memory",
        "The GPU's memory was not enough; close other programs and run it again",
    ),
    (
        "IMAGE_BROKEN",
        r"cannot identify image|image file|PNG file|^early ZeroDivisionError: division by zero$",
        "A picture of the dataset cannot be read; mend it and drop the job again (it has a copy)",
    ),
    (
        "CAPTION_EMPTY",
        r"caption file is empty",
        "A caption of the dataset is empty; write it and drop the job again",
    ),
    (
        "MODEL_MISSING",
        r"neither a valid local path nor a valid repo id",
        "The base checkpoint is not there; put it back and run it again",
    ),
    (
        "STATE_BROKEN",
        (
            r"^loaded .*(header|PytorchStreamReader|state_dict|Ran out of input|does not exist)"
            r"|max_train_steps should be greater than initial step"
        ),
        "The saved state cannot be resumed; an earlier one is taken",
    ),
    (
        "MODEL_BROKEN",
        r"deserializing header",
        "The base checkpoint or the VAE is damaged; download it again",
    ),
    (
        "MODEL_WRONG",
        r"^loading (KeyError: '[\w.]+\.(weight|bias)'|.*loading state_dict)",
        "The base checkpoint or the VAE is not one of Stable Diffusion 1.5; name another",
    ),
    (
        "TOKENIZER_MISSING",
        r"^early .*(not NoneType|load tokenizer|huggingface)",
        "CLIP's tokenizer is not on this machine; run sd-scripts once with the network on",
    ),
    (
        "PRECISION",
        r"mixed precision requires|to have the same dtype",
        'This machine cannot compute in that precision; set mixed_precision = "no"',
    ),
    (
        "TRAINER_PACKAGE",
        r" (ImportError|ModuleNotFoundError): ",
        "The trainer lacks a package; install it in the trainer's virtual environment",
    ),
    (
        "TRAINER_DOCUMENTS",
        (
            r"MultipleInvalid|TomlDecodeError|resolution is required|min_bucket_reso must be"
            r"|bucketing are disabled|image size is small|^early AttributeError: 'int' object"
        ),
        "The trainer refused config.toml or dataset.toml, which nightpress wrote; report it",
    ),
)
