"""The generator of the sync side: what its rules do, and that it notices what is stale, orphaned or unused."""

from pathlib import Path

import pytest

from tools import unasync

TREES = (unasync.Tree("a", "s", "*.py", by_hand=frozenset({"io.py"})),)


def convert(text: str) -> str:
    header, _, body = unasync.Converter().convert(text, "a/x.py").partition("\n")
    assert header.startswith("# Generated from a/x.py by `python tools/unasync.py`")
    return body


@pytest.mark.parametrize(
    ("written", "generated"),
    [
        ("async def get(self) -> AsyncDelivery: ...", "def get(self) -> Delivery: ..."),
        ("reply = await self._call(call)", "reply = self._call(call)"),
        ("x = (await a()) + (await b())", "x = (a()) + (b())"),
        ("async with AsyncBroker() as broker:", "with Broker() as broker:"),
        ("async for delivery in consumer:", "for delivery in consumer:"),
        ("async def __aenter__(self) -> Self:", "def __enter__(self) -> Self:"),
        ("raise StopAsyncIteration", "raise StopIteration"),
        ("Callable[[AsyncDelivery], Awaitable[None]]", "Callable[[Delivery], None]"),
        ("Callable[[bytes], Awaitable[dict[str, int]]]", "Callable[[bytes], dict[str, int]]"),
        ("step: Coroutine[Any, Any, list[T]]", "step: list[T]"),
        ("wire: AsyncConnection", "wire: SyncConnection"),
        ("stack = AsyncExitStack()", "stack = ExitStack()"),
        ("first = await anext(items)", "first = next(items)"),
        ("await broker.aclose()", "broker.close()"),
        ("from rexchange._async.io import Connections", "from rexchange._sync.io import Connections"),
        ("from tests.conformance.async_ import shared", "from tests.conformance.sync_ import shared"),
        ("def test_get(async_memory_broker: AsyncBroker): ...", "def test_get(memory_broker: Broker): ..."),
        (
            "# an awaited asynchronous word; await_count, BasyncX",
            "# an awaited asynchronous word; await_count, BasyncX",
        ),
    ],
)
def test_rules(written: str, generated: str) -> None:
    assert convert(written) == generated


def test_a_line_marked_async_only_is_left_out() -> None:
    assert convert("import asyncio  # async-only\nimport os\n") == "import os\n"


def test_files_are_written_once_and_formatted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "a"
    source.mkdir()
    text = "import os\nimport abc\nimport asyncio\nasync def f( ):\n  await g(os, abc)\n"
    (source / "x.py").write_text(text, encoding="utf-8")
    (source / "io.py").write_text("by hand\n", encoding="utf-8")

    def run(*, check: bool) -> int:
        converter = unasync.Converter(rules=((r"\basync ", ""), (r"\bawait ", "")))
        return unasync.run(tmp_path, check=check, trees=TREES, converter=converter)

    assert run(check=True) == 1
    assert not (tmp_path / "s").exists()
    assert run(check=False) == 0
    lines = (tmp_path / "s" / "x.py").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# Generated from a/x.py")
    assert lines[1:3] == ["import abc", "import os"]
    assert lines[-2:] == ["def f():", "    g(os, abc)"]
    assert not (tmp_path / "s" / "io.py").exists()
    capsys.readouterr()
    assert run(check=True) == 0
    assert capsys.readouterr().out == ""

    (source / "x.py").write_text("async def f():\n    await h()\n", encoding="utf-8")
    assert run(check=True) == 1
    assert "+    h()" in capsys.readouterr().out


def test_a_generated_file_without_its_source_is_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").mkdir()
    target = tmp_path / "s"
    target.mkdir()
    (target / "old.py").write_text("# Generated from a/old.py by something\n", encoding="utf-8")
    (target / "io.py").write_text('"""By hand."""\n', encoding="utf-8")
    nothing = unasync.Converter(rules=())
    assert unasync.run(tmp_path, check=True, trees=TREES, converter=nothing) == 1
    assert "s/old.py: its source is gone" in capsys.readouterr().out
    assert unasync.run(tmp_path, check=False, trees=TREES, converter=nothing) == 0
    assert [path.name for path in target.iterdir()] == ["io.py"]


def test_a_rule_that_no_file_uses_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").mkdir()
    converter = unasync.Converter(rules=((r"\bnever\b", ""),))
    assert unasync.run(tmp_path, check=False, trees=TREES, converter=converter) == 1
    assert r"no file uses the rule '\\bnever\\b'" in capsys.readouterr().out
