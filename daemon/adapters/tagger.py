"""Touches sd-scripts' WD14 tagger: a program in the trainer's own environment, run once.

Law: it sees copies in a folder of their own, because it overwrites the captions beside what it
reads; and it never goes to the network.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from daemon.errors import WorldError
from daemon.wire.text import excerpt

_SCRIPT = "finetune/tag_images_by_wd14_tagger.py"
_REPO = "SmilingWolf/wd-v1-4-convnext-tagger-v2"
_MODEL_FILES = ("model.onnx", "selected_tags.csv")
_ASK = "import importlib.util as u, sys\nprint(*[n for n in sys.argv[1:] if not u.find_spec(n)])"
_ASK_S = 60.0
# Loading the model takes a minute on a slow disk, a picture a few seconds without a GPU.
_START_S, _PICTURE_S = 300.0, 20.0
_PASSED = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE")


@dataclass(frozen=True, slots=True)
class Tagger:
    """The tagger of the checkout at ``path``, run by ``python``."""

    path: Path
    python: Path
    environment: Mapping[str, str]

    @property
    def model(self) -> Path:
        """Where its model is looked for: where sd-scripts' own default puts it."""
        return self.path / "wd14_tagger_model" / _REPO.replace("/", "_")

    def why_missing(self) -> str:
        """What is missing and where it belongs, as a sentence; '' when it can run."""
        if not (self.path / _SCRIPT).is_file():
            return (
                f"sd-scripts' tagger is not there ({self.path / _SCRIPT}). Set SD_SCRIPTS_PATH to "
                "a checkout of kohya-ss/sd-scripts."
            )
        lacking = [name for name in _MODEL_FILES if not (self.model / name).is_file()]
        if lacking:
            return (
                f"The tagger's model is not there. Download {' and '.join(lacking)} of {_REPO} "
                f"(Hugging Face) into {self.model}"
            )
        try:
            packages = self._run("-c", _ASK, "onnx", "onnxruntime", timeout_s=_ASK_S).split()
        except WorldError as error:
            return f"{self.python} does not run: {error.text}"
        if packages:
            return (
                f"The trainer's environment lacks {' and '.join(packages)}. Install them there: "
                f"{self.python} -m pip install {' '.join(packages)}"
            )
        return ""

    def tags(self, pictures: Sequence[Path]) -> Mapping[Path, str]:
        """Each picture's tags in one line, without those that get none. Raises ``WorldError``
        TAGGER_FAILED.
        """
        with TemporaryDirectory(prefix="nightpress-tags-") as folder:
            copies = {
                picture: Path(folder) / f"{number:04}{picture.suffix}"
                for number, picture in enumerate(pictures)
            }
            for picture, copy in copies.items():
                shutil.copyfile(picture, copy)
            self._tag(folder, timeout_s=_START_S + _PICTURE_S * len(pictures))
            told = {picture: _told(copy) for picture, copy in copies.items()}
        return {picture: tags for picture, tags in told.items() if tags}

    def _tag(self, folder: str, *, timeout_s: float) -> None:
        # A character's tag above its threshold ends the program with an error (a fault of its own,
        # at the commit that was looked at), so that none can be above it.
        thresholds = ("--thresh", "0.35", "--character_threshold", "2")
        model = ("--repo_id", _REPO, "--model_dir", str(self.model.parent))
        plain = ("--batch_size", "1", "--remove_underscore", "--caption_extension", ".txt")
        options = ("--onnx", *model, *thresholds, *plain)
        self._run(str(self.path / _SCRIPT), folder, *options, timeout_s=timeout_s)

    def _run(self, *arguments: str, timeout_s: float) -> str:
        """What it prints. Raises ``WorldError`` TAGGER_FAILED."""
        passed = {key: self.environment[key] for key in _PASSED if key in self.environment}
        try:
            done = subprocess.run(
                (str(self.python), *arguments),
                cwd=self.path,
                env={**passed, "PYTHONPATH": str(self.path), "HF_HUB_OFFLINE": "1"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _failed(f"it took more than {timeout_s:g} s") from error
        except OSError as error:
            raise _failed(str(error)) from error
        if done.returncode:
            last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise _failed(f"exit status {done.returncode}, and its last words are: {excerpt(last)}")
        return done.stdout.decode(errors="replace")


def _told(copy: Path) -> str:
    caption = copy.with_suffix(".txt")
    text = caption.read_text(encoding="utf-8", errors="replace") if caption.is_file() else ""
    return " ".join(text.split())


def _failed(why: str) -> WorldError:
    return WorldError("TAGGER_FAILED", f"The tagger failed: {why}. Nothing was written.")
