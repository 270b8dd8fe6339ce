"""The house keeps its own rules: nothing of one machine in it, and every dependency locked."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import needs

ROOT = Path(__file__).resolve().parent.parent
MAX_FUNCTION_LINES = 40
MAX_MODULE_LINES = 300

REGISTRY = re.compile(
    r"(?:p[y]pi|python[h]osted|n[p]mjs)\.org|--(?:extra-)?index-url|--find[-]links"
)
MACHINE = re.compile(r"(?<![\w.~$})-])/(?:root|work|home/\w+|Users/\w+)/")
PEOPLE_IN_EXAMPLES = re.compile(r"/(?:home|Users)/(?:you|me|someone|spyke)/")


def tracked_texts() -> Iterator[tuple[str, str]]:
    """Name and text of every file under git that is text."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    git = needs.program("git")
    listed = subprocess.run(
        [git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        data = path.read_bytes() if path.is_file() else b""
        if b"\0" not in data:
            yield name, data.decode("utf-8", errors="replace")


def findings(pattern: re.Pattern[str], texts: Iterable[tuple[str, str]]) -> list[str]:
    """``file:line: text`` of each line in which the pattern is found."""
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(PEOPLE_IN_EXAMPLES.sub("", line))
    ]


def locked() -> Mapping[str, list[tuple[Requirement, int]]]:
    """Name -> its pinned requirements with the number of their hashes, from requirements.lock."""
    found: dict[str, list[tuple[Requirement, int]]] = {}
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if line and not line.lstrip().startswith("#"):
            pinned, *hashes = re.split(r"\s+--hash=", line.strip())
            wanted = Requirement(pinned)
            found.setdefault(canonicalize_name(wanted.name), []).append((wanted, len(hashes)))
    return found


def declared() -> list[Requirement]:
    """Everything pyproject.toml asks for: to run, to check and to build."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = document["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    asked = [*project["dependencies"], *extras, *document["build-system"]["requires"]]
    return [Requirement(line) for line in asked]


def test_no_tracked_file_names_a_package_registry() -> None:
    assert findings(REGISTRY, tracked_texts()) == []


def test_no_tracked_file_names_a_path_of_one_machine() -> None:
    assert findings(MACHINE, tracked_texts()) == []


def test_an_address_and_a_machine_path_would_be_found() -> None:
    host, folder = ".".join(("https://pypi", "org/simple")), "/".join(("", "root", ".cache"))
    texts = [("a.txt", f"fine\n{host}\n"), ("b.py", f"open('{folder}')\n")]
    assert [hit.split(" ")[0] for hit in findings(REGISTRY, texts)] == ["a.txt:2:"]
    assert [hit.split(" ")[0] for hit in findings(MACHINE, texts)] == ["b.py:1:"]


def test_every_locked_requirement_has_one_version_and_hashes() -> None:
    for name, pins in locked().items():
        for pin, hashes in pins:
            assert hashes > 0, name
            assert [clause.operator for clause in pin.specifier] == ["=="], name


def test_the_lock_holds_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    assert [line for line in text.splitlines() if line.startswith("-")] == []


def test_every_dependency_is_locked_at_a_version_it_allows() -> None:
    pins = locked()
    for wanted in declared():
        name = canonicalize_name(wanted.name)
        assert name in pins, f"{name} is not in requirements.lock; `make lock` writes it again"
        for pin, _ in pins[name]:
            version = next(iter(pin.specifier)).version
            assert wanted.specifier.contains(version), f"{name} {version} is not {wanted.specifier}"


@pytest.mark.realprocess
def test_a_wheel_carries_every_template(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        carried = {
            name.removeprefix("daemon/_templates/"): archive.read(name)
            for name in archive.namelist()
            if name.startswith("daemon/_templates/")
        }
    kept = {path.name: path.read_bytes() for path in (ROOT / "workflows").glob("[!.]*.*")}
    assert carried == kept
    assert any(name.endswith(".slots.toml") for name in carried)


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    sizes = {path: size_below_imports(tree) for path, tree in sources()}
    assert {path: size for path, size in sizes.items() if size > MAX_MODULE_LINES} == {}


def test_no_function_is_longer_than_a_page() -> None:
    long = [
        f"{path}:{node.lineno} {node.name}"
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and size_without_tables(node) > MAX_FUNCTION_LINES
    ]
    assert long == []


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Path and syntax tree of every module of the package."""
    for path in sorted((ROOT / "daemon").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        yield path.relative_to(ROOT).as_posix(), ast.parse(text)


def size_below_imports(tree: ast.Module) -> int:
    """Lines after the last import at the top, which the formatter spreads as it likes."""
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    last = tree.body[-1].end_lineno if tree.body else 0
    return (last or 0) - (imports[-1].end_lineno or 0 if imports else 0)


def size_without_tables(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function; a ``match`` directly in it is a table of its union, however long."""
    tables = [part for part in node.body if isinstance(part, ast.Match)]
    return _lines(node) - sum(_lines(part) for part in tables)


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1
