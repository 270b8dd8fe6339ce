"""The README's TypeScript pipeline, by its compiler and by Node; and writers that do it wrong."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from daemon.wire.schema import definitions
from daemon.wire.typescript import typescript
from tests import needs
from tests.process import PANEL, RealStudio, until
from tests.readme import README

pytestmark = pytest.mark.realprocess

STRICT = ("--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes")
NODE = ("--target", "es2022", "--module", "nodenext", "--rewriteRelativeImportExtensions")


def pipeline() -> str:
    """What stands between the marks."""
    text = README.read_text(encoding="utf-8")
    found = re.search(r"<!-- pipeline -->\n```ts\n(.*?)```\n<!-- /pipeline -->", text, re.DOTALL)
    assert found, "README.md has lost its <!-- pipeline --> marks"
    return found[1]


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_readmes_pipeline_is_strict_typescript_and_finds_its_panels(tmp_path: Path) -> None:
    modules, node = needs.node_modules(), needs.node()
    folder = tmp_path / "pipeline"
    folder.mkdir()
    (folder / "node_modules").symlink_to(modules)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "nightpress.ts").write_text(typescript(definitions(), version="9"))
    (folder / "pipeline.ts").write_text(pipeline())
    run(node, modules / "typescript" / "bin" / "tsc", *STRICT, *NODE, "pipeline.ts", cwd=folder)
    studio = RealStudio(tmp_path)
    with studio.running():
        said = run(node, "pipeline.js", studio.root, "ch07", "run-7", cwd=folder)
    studio.close()
    assert re.sub(r"seed \d+", "seed N", said).splitlines() == [
        "ch07_p001_r1: seed N, rehearsal 0.3.64",
        "ch07_p002_r1: seed N, rehearsal 0.3.64",
    ]
    refs = [line["ref"] for line in studio.events("job.accepted")]
    assert refs == ["run-7/ch07_p001", "run-7/ch07_p002"]
    assert len(studio.events("job.ended")) == 2


WRITERS = """
import { appendFileSync, mkdirSync, renameSync, unlinkSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
const [inbox, text] = process.argv.slice(2);
const job = (name) => text.replace("{name}", name);
const at = (name) => `${inbox}/${name}.toml`;
const slowly = async () => {
  for (const part of job("slowly").match(/[^]{1,20}/g)) {
    appendFileSync(at("slowly"), part);
    await sleep(15);
  }
};
const elsewhere = () => {
  mkdirSync(`${inbox}/../drafts`, { recursive: true });
  writeFileSync(`${inbox}/../drafts/elsewhere.toml`, job("elsewhere"));
  renameSync(`${inbox}/../drafts/elsewhere.toml`, at("elsewhere"));
};
writeFileSync(at("at-once"), job("at-once"));
writeFileSync(at("bom"), "\\ufeff" + job("bom"));
writeFileSync(at("crlf"), job("crlf").replaceAll("\\n", "\\r\\n"));
writeFileSync(at("twice"), job("twice"));
writeFileSync(at("twice-again"), job("twice"));
writeFileSync(at("gone"), job("gone"));
unlinkSync(at("gone"));
writeFileSync(at("json"), JSON.stringify({ kind: "panel" }) + "\\n");
elsewhere();
await slowly();
"""


def test_writers_that_do_it_wrong_are_survived(tmp_path: Path) -> None:
    """Written in place, bit by bit, with a byte order mark, as JSON, twice, or gone at once."""
    script = tmp_path / "writers.mjs"
    script.write_text(WRITERS)
    studio = RealStudio(tmp_path)
    settings = studio.root / "nightpress.toml"
    settings.write_text(f"{settings.read_text()}[intake]\nsettle_s = 0.3\nrescan_s = 0.2\n")
    text = f'panel = "{{name}}"\n{PANEL}'
    with studio.running():
        run(needs.node(), script, studio.root / "inbox", text, cwd=tmp_path)
        until(lambda: len(studio.events("job.ended")) == 5)
        until(lambda: list((studio.root / "inbox").glob("*.toml")) == [])
    studio.close()
    assert sorted(line["job"] for line in studio.events("job.ended")) == [
        *("at-once_r1", "crlf_r1", "elsewhere_r1", "slowly_r1", "twice_r1")
    ]
    answers = {line["name"]: line["errors"][0]["text"] for line in studio.events("job.rejected")}
    assert set(answers) == {"bom.toml", "json.toml"}
    assert [line["of"] for line in studio.events("job.duplicate")] == ["twice_r1"]
