"""The types, by TypeScript's own compiler: what is written is taken, what is not is refused."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

import pytest

from daemon.wire.lock_file import render_lock
from daemon.wire.schema import definitions
from daemon.wire.typescript import typescript
from tests import needs
from tests.whole_ledger import events, written
from tests.wire.test_lock_file import LOCK
from tests.wire.test_schema import examples, status

REFUSED = (
    'const a: PanelFile = {kind: "panel", prompt: "p", checkpoint: "a"};',
    'const b: PanelFile = {kind: "panel", prompt: "p", checkpoint: "a", vae: "v", stepz: 3};',
    'const c: ControlFile = {kind: "dance"};',
    'const d: LedgerLine = {seq: 1, at: "", type: "daemon.danced", chain: ""};',
    "function e(s: Status): number { return s.lease.step; }",
    'const f: Phase = "done";',
)


def test_a_schema_becomes_interfaces_unions_and_comments() -> None:
    said = typescript(
        {
            "A": {
                "type": "object",
                "description": "An */ A.",
                "properties": {
                    "one": {"type": "integer", "minimum": 1, "default": 3},
                    "b-c": {"anyOf": [{"$ref": "#/$defs/B"}, {"type": "null"}]},
                    "rows": {"type": "array", "items": {"enum": ["x", 1]}},
                    "pair": {"type": "array", "prefixItems": [{"const": "k"}, {"type": "number"}]},
                    "named": {"type": "object", "additionalProperties": {"type": "string"}},
                    "any": {},
                },
                "required": ["one"],
            },
            "B": {"anyOf": [{"const": True}, {"type": "string"}]},
        },
        version="9",
    )
    assert said.splitlines()[1:] == [
        "",
        "/** An *\\/ A. */",
        "export interface A {",
        "  /** (at least 1, default 3) */",
        "  one: number;",
        '  "b-c"?: B | null;',
        '  rows?: ("x" | 1)[];',
        '  pair?: ["k", number];',
        "  named?: Record<string, string>;",
        "  any?: unknown;",
        "}",
        "",
        "export type B = true | string;",
    ]


def test_what_the_printer_does_not_know_is_a_mistake() -> None:
    with pytest.raises(AssertionError):
        typescript({"A": {"type": "dance"}}, version="9")


@pytest.mark.realprocess
def test_the_compiler_takes_real_documents_and_refuses_others(tmp_path: Path) -> None:
    _, lines = written(events())
    documents = [
        *(("LedgerLine", json.loads(line)) for line in lines),
        *(("JobFile", tomllib.loads(text)) for _, text in examples()),
        ("Lock", tomllib.loads(render_lock(LOCK).decode())),
        ("Status", status()),
    ]
    names = "Phase, PanelFile, ControlFile, LedgerLine, JobFile, Lock, Status"
    good = [f"const x{n}: {kind} = {json.dumps(d)};" for n, (kind, d) in enumerate(documents)]
    bad = [f"// @ts-expect-error\n{line}" for line in REFUSED]
    source = [f'import type {{ {names} }} from "./nightpress.ts";', *good, *bad, ""]
    (tmp_path / "nightpress.ts").write_text(typescript(definitions(), version="9"))
    (tmp_path / "documents.ts").write_text("\n".join(source))
    compiler = needs.node_modules() / "typescript" / "bin" / "tsc"
    strict = ("--strict", "--noEmit", "--noUnusedLocals", "false", "--allowImportingTsExtensions")
    said = subprocess.run(
        [needs.node(), compiler, *strict, "--exactOptionalPropertyTypes", "documents.ts"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (said.returncode, said.stdout[:2000]) == (0, "")
