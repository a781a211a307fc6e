"""The documents are run: their Python blocks, the output they promise, their links, the tests they name."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
# The quick tests run the README's blocks.
RUN = [pytest.param(each, marks=() if each.parent == ROOT else pytest.mark.slow) for each in DOCUMENTS]
_BLOCK = re.compile(r"^```(\w+)[ ]*([\w-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
# In the tables: `test_bind.py::test_name`; the name of a file is enough: where two have it, one of them has the test.
_CITED = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def _name(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """One block that is run: its kind (the second word on its fence), its text, the output promised after it.

    Kinds: "" a script, "pytest" a file for pytest, "sketch" only compiled, "cli" lines for a shell.
    """

    kind: str
    text: str
    output: str | None


def _blocks(document: Path) -> list[Block]:
    found = _BLOCK.findall(document.read_text())
    blocks: list[Block] = []
    for (language, kind, text), after in zip(found, [*found[1:], ("", "", "")], strict=False):
        if language == "python" or kind == "cli":
            blocks.append(Block(kind, text, after[2] if after[0] == "text" else None))
    return blocks


def _environment(folder: Path) -> dict[str, str]:
    """Return an environment where the default embedded server keeps its data in `folder`, and its socket too."""
    (folder / "run").mkdir(mode=0o700, exist_ok=True)
    # Coverage of subprocesses would be measured again and again for the same lines; the blocks are about the text.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REXCHANGE_", "COVERAGE_"))}
    return {
        **kept,
        "XDG_DATA_HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder / "run"),
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        # All plugins of our development tools would start with each of a reader's pytest files, ours perhaps twice.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }


def _run(block: Block, number: int, folder: Path) -> str:
    """Run a block as a reader would: as a file of its own, a pytest file under pytest."""
    if block.kind == "cli":
        commands = [["-m", "rexchange.cli", *shlex.split(line)[1:]] for line in block.text.splitlines()]
        return "".join(_python(command, folder) for command in commands)
    if block.kind != "pytest" and not re.search(r"Broker\((vhost|\))", block.text):
        # On a fake server: nothing that a process of its own would keep apart, and that is quicker.
        printed = StringIO()
        with redirect_stdout(printed):
            exec(compile(block.text, f"block {number}", "exec"), {"__name__": "__main__"})  # noqa: S102 - our documents
        return printed.getvalue()
    script = folder / f"{'test_' if block.kind == 'pytest' else ''}block_{number}.py"
    script.write_text(block.text)
    runner = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "rexchange.testing.plugin"]
    return _python([*(runner if block.kind == "pytest" else ["-W", "error"]), script.name], folder)


def _python(arguments: list[str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=_environment(folder),
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}{done.stderr}"
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("document", RUN, ids=_name)
def test_every_python_block_runs_and_prints_what_is_promised(document: Path, tmp_path: Path) -> None:
    for number, block in enumerate(_blocks(document)):
        if block.kind == "sketch":
            compile(block.text, f"{document.name} block {number}", "exec")
            continue
        printed = _run(block, number, tmp_path)
        if block.output is not None:
            assert printed == block.output, f"{document.name}, block {number}"


def test_the_readme_shows_what_a_newcomer_needs() -> None:
    shown = "\n".join(block.text for block in _blocks(ROOT / "README.md"))
    for word in ("declare_exchange", "bind(", "publish(", "mandatory=True", "consume(", ".ack()", ".nack(", ".get("):
        assert word in shown
    assert "AsyncBroker" in shown
    assert "memory_broker" in shown
    assert re.search(r"\*\*[^*]*`auto_ack=False`[^*]*\*\*", (ROOT / "README.md").read_text())


def _anchors(text: str) -> set[str]:
    """Return the anchors of the headings as GitHub makes them."""
    headings = _HEADING.findall(_FENCED.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_links_within_the_repository_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    for link in _LINK.findall(_FENCED.sub("", text)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in _anchors(target.read_text()), link


@cache
def _tests() -> dict[str, set[str]]:
    """Return the names of all test functions by file name."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        names = re.findall(r"^\s*(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
        found.setdefault(path.name, set()).update(names)
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_the_tests_that_are_named_exist(document: Path) -> None:
    cited = _CITED.findall(document.read_text())
    assert [f"{file}::{name}" for file, name in cited if name not in _tests().get(file, ())] == []


@pytest.mark.parametrize("name", ["architecture.md", "semantics.md"])
def test_a_row_names_its_test_or_says_that_it_has_none(name: str) -> None:
    """In a table whose last column is headed "test" each row has one, or "not tested", or "-" for what is absent."""
    text = (ROOT / "docs" / name).read_text()
    tables = re.findall(r"^\|.*\| test \|\n\|[-| ]+\|\n((?:\|.*\|\n)+)", text, re.MULTILINE)
    assert tables
    for row in "".join(tables).splitlines():
        last = row.removesuffix(" |").rpartition(" | ")[2]
        assert _CITED.search(last) or last in ("not tested", "-"), row
