"""Every code leads to something to look at first."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import daemon
from daemon.craft.diagnosis import diagnosis, first_check

SOURCES = Path(daemon.__file__).parent
CODE = re.compile(r"[A-Z]{2,}(?:_[A-Z]+)*")
ENVIRONMENT = re.compile(
    r"(?:COMFYUI|NIGHTPRESS|PYTORCH|REHEARSAL|SD_SCRIPTS|HF|XDG|LC|NO|GIT(?!_CHECKPOINT))_.*"
    r"|[A-Z_]+_HEAD|BISECT_LOG"
)
"""Other words in capitals that a source may hold: environment variables, and files of git."""
BEARERS = frozenset(
    {"WorldError", "EngineError", "PromptRefused", "Reason", "JobHeld", "Incident"}
    | {"ReportIncident", "Ended", "Undrawn", "Blame", "Verdict"}
)
UNKNOWN = diagnosis("NO_SUCH_CODE")


def codes(tree: ast.AST) -> Iterator[str]:
    """A module's codes: words joined by _ wherever they are, single words where a code is due."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if "_" in text and CODE.fullmatch(text):
                yield text
            case ast.Call(func=ast.Name(id=name), args=args) if name in BEARERS:
                yield from map(_word, args)
            case ast.keyword(arg=str(name), value=value) if name.endswith("code"):
                yield _word(value)
            case _:
                pass


def _word(node: ast.expr) -> str:
    found = node.value if isinstance(node, ast.Constant) else None
    return found if isinstance(found, str) and CODE.fullmatch(found) else ""


def used() -> list[tuple[str, str]]:
    """Every code in the sources, with the file it is in. Rehearsal has the engine's own words, and
    what `doctor` finds has its remedy beside it.
    """
    found = {
        (code, path.relative_to(SOURCES).as_posix())
        for path in SOURCES.rglob("*.py")
        if "rehearsal" not in path.parts and path.stem not in ("health", "health_machine")
        for code in codes(ast.parse(path.read_text(encoding="utf-8")))
        if code and not ENVIRONMENT.fullmatch(code)
    }
    return sorted(found)


@pytest.mark.parametrize(("code", "file"), used())
def test_every_code_in_the_sources_has_a_first_check_of_its_own(code: str, file: str) -> None:
    """Symptom table 3.9: `show JOB` and status.toml carry the code and the first check."""
    assert diagnosis(code) != UNKNOWN, f"{file} uses {code}, which craft/diagnosis does not know"


def test_the_scan_finds_codes_at_all() -> None:
    assert {"GPU_BUSY", "PAUSED", "RESULT_GONE", "ENGINE_STARTING"} <= {code for code, _ in used()}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("SLOW_CPU_FALLBACK", "fallback warnings"),
        ("BLACK_OR_GRAY", "VAE in fp32 first"),
        ("WASHED_OUT", "Check the VAE's name"),
        ("OOM_KILL", "killed by jetsam"),
        ("WS_SILENT", "client_id"),
        ("COMFY_NOT_READY", "starting"),
        ("LORA_POSE", "earlier checkpoint"),
        ("TRIGGER_BLEED", "another trigger"),
        ("MODEL_LOAD_SLOW", "fp16 safetensors"),
    ],
)
def test_the_symptom_table_leads_to_its_first_checks(code: str, said: str) -> None:
    """Symptom table 3.9, M1.3."""
    assert said in first_check(code)


def test_no_code_means_nothing_to_check_and_an_unknown_one_leads_to_the_log() -> None:
    assert first_check("") == ""
    assert "log" in first_check("NO_SUCH_CODE")
