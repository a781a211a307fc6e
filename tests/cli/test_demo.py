"""The demo, whole, and what it counts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rexchange import Broker
from rexchange.cli.demo import layout, report, story
from rexchange.cli.demo.crew import hired
from rexchange.cli.demo.results import Handling, Results
from rexchange.cli.demo.story import Story
from rexchange.cli.demo.walk import Files, Found, walk
from rexchange.cli.demo.worker import Orders, Worker
from rexchange.errors import RexchangeError
from rexchange.testing import drain, memory_broker, wait_until
from tests.cli.conftest import Cli

PROGRAM = [sys.executable, "-m", "rexchange.cli", "demo"]


def _folder(root: Path, count: int) -> Path:
    root.mkdir()
    for number in range(count):
        size = (10, 10_000, 70_000)[number % 3]
        suffix = (".py", ".txt", "")[number % 3]
        (root / f"file-{number}{suffix}").write_bytes(b"%06d\n" % number * (size // 7))
    return root


def _demo(folder: Path, *args: str, temporary: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TMPDIR": str(temporary), "REXCHANGE_URL": "redis://127.0.0.1:1"}
    command = [*PROGRAM, str(folder), *args]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=28, check=False)


def test_a_worker_is_killed_and_nothing_is_lost(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    temporary = tmp_path_factory.mktemp("tmp")
    done = _demo(_folder(tmp_path / "files", 120), "--workers", "3", "--json", temporary=temporary)
    assert done.returncode == 0, done
    told = json.loads(done.stdout)
    assert (told["files"], told["lost"], told["killed"]) == (120, 0, True)
    assert {row["queue"]: row["messages"] for row in told["queues"]} == {
        "small": 40,
        "medium": 40,
        "large": 40,
        "audit-log": 120,
    }
    assert told["redelivered"] >= 1
    assert told["handled_twice"] == told["done_by_the_killed"] >= 1
    assert told["handled_twice_without_the_kill"] == 0
    assert told["lines"] == sum(path.read_bytes().count(b"\n") for path in (tmp_path / "files").iterdir())
    assert list(temporary.glob("rexchange-demo-*")) == [], "the server's folder is gone"


@pytest.mark.slow
def test_one_file(tmp_path: Path) -> None:
    done = _demo(_folder(tmp_path / "files", 1), "--workers", "2", temporary=tmp_path)
    assert done.returncode == 0, done
    assert "1 file of" in done.stdout
    assert "At once, worker 2 was killed (kill -9) with 1 message in hand" in done.stdout
    assert "Nothing was lost." in done.stdout
    assert max(map(len, done.stdout.splitlines()[2:])) <= 80


def test_no_file(tmp_path: Path) -> None:
    done = _demo(_folder(tmp_path / "files", 0), temporary=tmp_path)
    assert done.returncode == 0, done
    assert "nothing to publish" in done.stdout


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "files", 60)
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([*PROGRAM, str(folder)], env=environment, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: bool(_workers(process.pid)), timeout=20)
        workers = _workers(process.pid)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=15)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert list(tmp_path.glob("rexchange-demo-*")) == []
    # One that was just being started ends by itself, a moment later, since its stdin has ended.
    wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), timeout=10)


def _workers(parent: int) -> list[str]:
    children = Path(f"/proc/{parent}/task/{parent}/children")
    if not children.exists():
        pytest.skip("no /proc here")
    return [child for child in children.read_text().split() if b"demo.worker" in _command(child)]


def _command(process: str) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:  # it has just ended
        return b""


@pytest.mark.slow
def test_on_a_given_server_it_removes_its_queues(tmp_path: Path, embedded_url: str, vhost: str) -> None:
    folder = _folder(tmp_path / "files", 20)
    done = _demo(folder, "--workers", "2", "--url", embedded_url, "--vhost", vhost, "--json", temporary=tmp_path)
    assert json.loads(done.stdout)["lost"] == 0, done
    with Broker(embedded_url, vhost=vhost) as broker:
        assert broker.queues() == []
        assert broker.bindings() == []


def test_workers_that_cannot_start_are_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REXCHANGE_RETRY_TIMEOUT", "0.1")
    orders = [Orders(1, str(tmp_path), ["small"], "results", 1, 0, victim=False)]
    with hired(orders, "redis://127.0.0.1:1", "/") as crew, pytest.raises(RexchangeError, match="worker 1 did not"):
        crew.until_ready()


def test_a_file_that_has_gone_is_handled_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"one\ntwo")
    with memory_broker() as broker:
        broker.declare_queue("small")
        for path in (b"there", b"gone"):
            broker.publish(path, routing_key="small")
        worker = Worker(Orders(1, str(tmp_path), ["small"], "results", 1, 0, victim=False), broker)
        reports = [worker._handle(delivery).headers for delivery in drain(broker, "small")]
    assert [(report["lines"], report["size"]) for report in reports] == [(1, 7), (0, -1)]


def test_a_lost_message_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cli: Cli) -> None:
    monkeypatch.setattr(story, "tell", lambda *_args, **_options: _story({}))
    done = cli.bare("demo", str(tmp_path))
    assert done.code == 1
    assert "3 messages LOST" in done.out


# --- walking


def test_walk(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for path in ("a.py", "sub/b.TXT", ".git/config", "node_modules/x.js", ".venv/y.py", "sub/deep/c"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    (root / "link").symlink_to(root / "a.py")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe")
    (root / os.fsdecode(b"odd-\xff")).write_text("x")
    files = walk(root, 100)
    assert {file.path for file in files.found} == {b"a.py", b"sub/b.TXT", b"sub/deep/c", b"odd-\xff"}
    assert files.skipped == 2, "a link and a pipe"
    assert not files.cut
    some = walk(root, 2)
    assert (len(some.found), some.cut) == (2, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_walk_skips_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0)
    assert walk(tmp_path, 9).skipped == 1


@pytest.mark.parametrize(
    ("path", "size", "key"),
    [
        (b"a.PY", 0, "file.py.small"),
        (b"dir.d/Makefile", 4095, "file.none.small"),
        (b".bashrc", 4096, "file.none.medium"),
        (b"a.tar.gz", 65_535, "file.gz.medium"),
        (b"a.\xff", 65_536, "file.\N{REPLACEMENT CHARACTER}.large"),
        (b"a." + b"x" * 300, 65_536, f"file.{'x' * 20}.large"),
    ],
)
def test_routing_key(path: bytes, size: int, key: str) -> None:
    assert layout.routing_key(Found(path, size)) == key


# --- counting


def _story(handled: dict[bytes, list[Handling]], *, killed: bool = True) -> Story:
    results = Results({"small": {b"a", b"b", b"c"}, "medium": set(), "large": set()})
    results.handled.update({("small", body): done for body, done in handled.items()})
    results.audited = {b"a", b"b", b"c"}
    files = Files([Found(body, 1) for body in (b"a", b"b", b"c")])
    return Story(Path("/x"), files, 2, layout.Layout(), results, killed=killed, held=2, done=1, found_dead_s=1.0)


def _text(told: Story) -> str:
    return " ".join(" ".join(str(line) for line in report.lines(told)).split())


def test_what_is_lost_is_said_so() -> None:
    told = _story({b"a": [Handling(1, redelivered=False, at=1.0)], b"b": [Handling(1, redelivered=False, at=1.0)]})
    assert told.lost == 1
    assert "1 message LOST" in _text(told)
    assert report.data(told)["lost"] == 1
    told.results.audited.clear()
    assert told.lost == 4


def test_what_was_handled_twice_without_the_kill_is_told_apart() -> None:
    first, again = Handling(1, redelivered=False, at=1.0), Handling(3, redelivered=True, at=2.0)
    victim = Handling(story.VICTIM, redelivered=False, at=1.0)
    told = _story({b"a": [first, again], b"b": [victim, again], b"c": [first]})
    assert report.data(told)["handled_twice"] == 2
    assert report.data(told)["handled_twice_without_the_kill"] == 1
    assert "1 message handled twice: done by the dead worker" in _text(told)
    assert "1 message handled twice without the kill" in _text(told)


def test_a_demo_without_a_kill_says_so() -> None:
    told = _story({}, killed=False)
    told.results.vanished = 1
    told.files.skipped, told.files.cut = 2, True
    text = _text(told)
    assert "No worker was killed" in text
    assert "1 file could not be read any more" in text
    assert "2 skipped" in text
    assert "see --limit" in text
    assert told.results.last_fresh() == 0.0
