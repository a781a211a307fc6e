"""The demo on several folders, and on few bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rexchange.cli.demo import layout, report
from rexchange.cli.demo.results import Results
from rexchange.cli.demo.story import Story
from rexchange.cli.demo.walk import walk_all
from tests.cli.conftest import Cli


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Return two folders of two files each, one of them with a folder in it."""
    made: list[Path] = []
    for name in ("one", "two"):
        folder = tmp_path / name
        (folder / "in").mkdir(parents=True)
        (folder / "a").write_text("a")
        (folder / "in" / "b").write_text("b")
        made.append(folder)
    return made


def test_paths_begin_where_the_folders_meet(tmp_path: Path, folders: list[Path]) -> None:
    root, files = walk_all(folders, 100)
    assert root == tmp_path
    assert [file.path for file in files.found] == [b"one/a", b"one/in/b", b"two/a", b"two/in/b"]


def test_a_folder_in_another_or_given_twice_is_taken_once(folders: list[Path]) -> None:
    one, _ = folders
    root, files = walk_all([one / "in", one, one], 100)
    assert root == one
    assert [file.path for file in files.found] == [b"a", b"in/b"]


@pytest.mark.parametrize(("limit", "count", "cut"), [(1, 1, True), (2, 2, True), (3, 3, True), (4, 4, False)])
def test_the_limit_is_for_all_together(folders: list[Path], limit: int, count: int, cut: bool) -> None:
    _, files = walk_all(folders, limit)
    assert (len(files.found), files.cut) == (count, cut)


def test_the_report_names_them(folders: list[Path]) -> None:
    root, files = walk_all(folders, 100)
    files.found.clear()
    told = Story(root, files, 2, layout.Layout(), Results({}), folders=folders)
    (line,) = report.lines(told)
    assert str(line).startswith(f"no files in {folders[0]}, {folders[1]}: ")


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0.0 kB"), (812, "0.8 kB"), (999_949, "999.9 kB"), (1_000_000, "1.0 MB"), (2e9, "2,000.0 MB")],
)
def test_few_bytes_are_no_0_mb(size: int, shown: str) -> None:
    assert report._size(size) == shown


def test_a_folder_that_is_not_there(cli: Cli, folders: list[Path]) -> None:
    assert cli.bare("demo", str(folders[0]), "/no/such/folder").code == 2
