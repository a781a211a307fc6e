"""The server that needs no server: a Valkey per data folder, shared by all processes that name the folder.

Each process holds a shared lock on the folder's ``users.lock`` while it uses the server; starting and stopping happens
under ``start.lock``; the last one out stops the server. A process that is killed lets go of its locks, but then nobody
stops the server: the next process to name the folder adopts it, or starts it anew.

The shared lock is a POSIX record lock, not a flock: a forked child does not inherit it. With flock the child of a fork
would share the parent's lock and keep the server running for as long as it lives, used or not. A child that does use
the server takes a lock of its own when it first connects.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from rexchange.server import exits, valkey

if sys.platform != "win32":
    import fcntl


@dataclass
class _Use:
    """This process's use of one folder: how often, and its lock; None in a forked child that has not connected yet."""

    folder: Path
    count: int
    socket_path: str
    lock: int | None


_log = logging.getLogger("rexchange")
_lock = threading.Lock()
_uses: dict[Path, _Use] = {}


class Handle:
    """One use of an embedded server, until `release`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._released = False

    @property
    def socket_path(self) -> str:
        """Where the server listens."""
        return socket_path(self.folder)

    def release(self) -> None:
        """End this use; the last one of all processes stops the server and waits for its end. Again: no effect."""
        with _lock:
            use = _uses.get(self.folder)
            if self._released or use is None:
                return
            self._released = True
            use.count -= 1
            if use.count == 0:
                del _uses[self.folder]
                _leave(use)


def default_folder() -> Path:
    """``rexchange`` where the user's programs keep data (XDG base directories; Apple's file system guide).

    Raises:
        BrokerConnectionError: this user has no home.
    """
    data = os.environ.get("XDG_DATA_HOME", "")
    if sys.platform != "darwin" and Path(data).is_absolute():  # the specification: relative paths are to be ignored
        return Path(data) / "rexchange"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise valkey.failure(Path(), f"no folder for the embedded server's data, give a URL: {error}") from error
    shared = home / "Library" / "Application Support" if sys.platform == "darwin" else home / ".local" / "share"
    return shared / "rexchange"


def acquire(folder: Path | None = None) -> Handle:
    """Use the server of a data folder; start it unless it runs. May take seconds, when it has much to load.

    Raises:
        BrokerConnectionError: the folder cannot be written, the extra is not installed, or the server does not start.
    """
    key = _key(default_folder() if folder is None else folder)
    with _lock:
        use = _uses.get(key)
        if use is None:
            use = _Use(key, 0, "", None)
        if use.lock is None:
            _join(use)
        use.count += 1
        _uses[key] = use
    return Handle(key)


def socket_path(folder: Path) -> str:
    """The socket of a server in use; a forked child joins here.

    Raises:
        BrokerConnectionError: this process does not use the folder (any more).
    """
    with _lock:
        use = _used(folder)
        if use.lock is None:
            _join(use)
        return use.socket_path


def revive(folder: Path) -> str:
    """Start the server again if it has died; return its socket, which may be another one.

    Raises:
        BrokerConnectionError: it does not start, or this process does not use the folder (any more).
    """
    with _lock:
        use = _used(folder)
        if use.lock is None:
            _join(use)
        with valkey.locked(use.folder / "start.lock"):
            use.socket_path = valkey.ensure(use.folder)
        return use.socket_path


def _key(folder: Path) -> Path:
    return Path(os.path.realpath(folder))


def _used(folder: Path) -> _Use:
    key = _key(folder)
    if key not in _uses:
        raise valkey.failure(key, "the embedded server was released here: its broker is closed")
    return _uses[key]


def _join(use: _Use) -> None:
    if sys.platform == "win32":
        raise valkey.failure(use.folder, "there is no embedded server for Windows: give a URL (REXCHANGE_URL)")
    try:
        use.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with valkey.locked(use.folder / "start.lock"):
            lock = os.open(use.folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.lockf(lock, fcntl.LOCK_SH)
                use.socket_path = valkey.ensure(use.folder)
            except BaseException:
                os.close(lock)
                raise
    except OSError as error:
        raise valkey.failure(use.folder, f"the data folder cannot be used: {error}") from error
    use.lock = lock
    _log.info("using the embedded server of %s", use.folder)  # nobody asked for it: a URL may have been meant
    exits.at_exit(_leave_all, 0)


def _leave(use: _Use) -> None:
    """Let go of the lock, and stop the server if nobody else has one."""
    if use.lock is None:
        return
    lock, use.lock = use.lock, None
    try:
        with valkey.locked(use.folder / "start.lock"):
            try:
                # Our own lock does not stand in the way: record locks of one process replace each other.
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            valkey.stop(use.folder)
    finally:
        os.close(lock)


def _leave_all() -> None:
    with _lock:
        for use in list(_uses.values()):
            _leave(use)
        _uses.clear()


def _after_fork_in_child() -> None:
    for use in _uses.values():
        if use.lock is not None:
            os.close(use.lock)
            use.lock = None
    _lock.release()


if sys.platform != "win32":
    # The lock is held over the fork: the child must not inherit a half-done start, or a lock held for ever.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_after_fork_in_child)
