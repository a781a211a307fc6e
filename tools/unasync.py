"""Generate the sync shell and its tests from the async ones: `python tools/unasync.py [--check]`.

Both are committed, so that a reader and a debugger see plain code. Every word that differs is a rule of the table;
what differs by nature lies in the two hand-written io.py. A line that only the async side needs (an import, say) ends
in `# async-only` and is left out. A rule that no file uses is an error: the table stays as small as the difference.
"""

import argparse
import difflib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

COMMAND = "python tools/unasync.py"
HEADER = "# Generated from {source} by `" + COMMAND + "`. Do not edit."
ASYNC_ONLY = "# async-only"


@dataclass(frozen=True)
class Tree:
    """One folder to generate another from; `by_hand` are files that have a hand-written twin."""

    source: str
    target: str
    pattern: str
    by_hand: frozenset[str] = frozenset()


TREES = (
    Tree("rexchange/_async", "rexchange/_sync", "*.py", by_hand=frozenset({"__init__.py", "io.py"})),
    Tree("tests/conformance/async_", "tests/conformance/sync_", "test_*.py"),
)

#: (what to look for, what to write), applied in this order.
RULES = (
    (r"\basync (?=def\b|with\b|for\b)", ""),
    (r"\bawait\s+", ""),
    (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\b(?:Awaitable\[|Coroutine\[Any, Any, )((?:[^\[\]]|\[[^\[\]]*\])*)\]", r"\1"),
    (r"\bAsync(Connection|Pipe)\b", r"Sync\1"),  # of server: one floor knows both colours
    (r"\basync_pipe\b", "sync_pipe"),
    (r"\bAsync(?=[A-Z])", ""),  # AsyncBroker, AsyncDelivery, AsyncIterator, AsyncExitStack ...
    (r"\banext\(", "next("),
    (r"\baclose\b", "close"),
    (r"\b_async\b", "_sync"),  # rexchange._async
    (r"\basync_\b", "sync_"),  # tests.conformance.async_
    (r"\basync_(?=[a-z])", ""),  # async_memory_broker
)


@dataclass
class Converter:
    """Applies the rules and remembers which of them were of use."""

    rules: tuple[tuple[str, str], ...] = RULES
    used: set[str] = field(default_factory=set[str])

    def convert(self, text: str, source: str) -> str:
        """Return the sync text for an async one; `source` is named in line 1."""
        kept = (line for line in text.splitlines(keepends=True) if not line.rstrip().endswith(ASYNC_ONLY))
        text = "".join(kept)
        for pattern, replacement in self.rules:
            text, count = re.subn(pattern, replacement, text)
            if count:
                self.used.add(pattern)
        return HEADER.format(source=source) + "\n" + text

    def unused(self) -> list[str]:
        """Return the patterns that changed nothing so far."""
        return [pattern for pattern, _ in self.rules if pattern not in self.used]


def tidy(text: str, name: str) -> str:
    """Sort the imports, drop those of async words, and format, since shorter words make other line breaks.

    `name` finds ruff's settings.
    """
    for arguments in (["check", "--select", "I,F401", "--fix", "--exit-zero", "--quiet"], ["format", "--quiet"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", name, "-"]
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return text


def generated(root: Path, trees: tuple[Tree, ...], converter: Converter) -> Iterator[tuple[Path, str]]:
    """Yield each file to generate with its text."""
    for tree in trees:
        for path in sorted((root / tree.source).rglob(tree.pattern)):
            inner = path.relative_to(root / tree.source)
            if str(inner) not in tree.by_hand:
                target = root / tree.target / inner
                text = converter.convert(path.read_text(encoding="utf-8"), f"{tree.source}/{inner.as_posix()}")
                yield target, tidy(text, str(target))


def orphans(root: Path, trees: tuple[Tree, ...], wanted: set[Path]) -> list[Path]:
    """Return the generated files whose source is gone."""
    mark = HEADER.partition("{source}")[0]
    present = (path for tree in trees for path in sorted((root / tree.target).rglob("*.py")))
    return [path for path in present if path not in wanted and path.read_text(encoding="utf-8").startswith(mark)]


def run(root: Path, *, check: bool, trees: tuple[Tree, ...] = TREES, converter: Converter | None = None) -> int:
    """Write what is stale, or with `check` show it as a diff; return the exit status."""
    converter = converter or Converter()
    files = dict(generated(root, trees, converter))
    stale = 0
    for path, text in files.items():
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old == text:
            continue
        stale += 1
        name = path.relative_to(root).as_posix()
        if check:
            print("\n".join(difflib.unified_diff(old.splitlines(), text.splitlines(), name, "generated", lineterm="")))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    for path in orphans(root, trees, set(files)):
        stale += 1
        print(f"{path.relative_to(root).as_posix()}: its source is gone")
        if not check:
            path.unlink()
    for pattern in converter.unused():
        print(f"no file uses the rule {pattern!r}: remove it")
    if check and stale:
        print(f"{stale} of {len(files)} generated files are stale: run `make gen`")
    return int(bool(converter.unused()) or (check and bool(stale)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 with a diff if a file is stale")
    sys.exit(run(Path(__file__).resolve().parent.parent, check=parser.parse_args().check))
