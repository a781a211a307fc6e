"""redis-py's command methods without a connection: they are recorded, and their replies get redis-py's shapes later."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import redis
from redis.commands import CoreCommands
from redis.exceptions import RedisError

from rexchange.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rexchange.protocol.transaction import Result

    Record = Callable[[tuple[Any, ...], dict[str, Any]], Result[Any]]

_NOT_FOR_SHAPES = ("keys", "EMPTY_RESPONSE", "NEVER_DECODE")
_NO_ITERATIONS = "another one in a transaction: its next step needs the answer to the one before"


@cache
def _template() -> redis.Redis:
    """Return a client that is never connected: it has the tables of how replies look with decode_responses=False."""
    return redis.Redis(protocol=2, decode_responses=False)


def shaped(name: str, reply: Any, options: Mapping[str, Any]) -> Any:
    """Return a RESP2 reply as redis-py's method would; `options` are those that the method gave with the command.

    What redis-py cannot read stays as it is.
    """
    shapes: Any = _template().response_callbacks
    shape = shapes.get(name)
    if shape is None:
        return reply
    try:
        return shape(reply, **{option: value for option, value in options.items() if option not in _NOT_FOR_SHAPES})
    except Exception:  # noqa: BLE001 - redis-py fails on some replies; the step is done, and must not look as if it were not
        return reply


class _Methods(CoreCommands):
    """One call of one method; what it executes is recorded."""

    # What redis-py's clients have; no command method uses them.
    connection_pool: Any = None
    _event_dispatcher: Any = None

    def __init__(self, record: Record) -> None:
        self._record = record
        self.recorded: Result[Any] | None = None
        self.is_inside = True

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Record. Methods that look at the reply see none; a builder (bitfield) gets the place of the result."""
        self.recorded = self._record(args, options)
        return None if self.is_inside else self.recorded

    def get_encoder(self) -> Any:
        """Give redis-py's own: a few methods ask it what is bytes."""
        return _template().get_encoder()

    def get_connection_kwargs(self) -> Any:
        """Give those of no connection."""
        return {}


class RedisCommands:
    """Every command method of redis-py (`set`, `hset`, `zadd`, …) with its own arguments; nothing is sent yet.

    Each returns a `Result`, whose `value` is there when the transaction is done. `execute_command("NAME", …)` takes
    what redis-py has no method for.
    """

    __slots__ = ("_record",)

    def __init__(self, record: Record) -> None:
        """Take who records a command."""
        self._record = record

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a method of redis-py that records. Raises AttributeError where there is none."""
        if name.startswith("_") or not callable(getattr(_Methods, name, None)):
            raise AttributeError(f"redis-py has no command method {name!r}: use execute_command('NAME', ...)")

        def method(*args: Any, **options: Any) -> Any:
            if name.endswith("_iter") or name == "register_script":
                raise InvalidArgument("command", name, _NO_ITERATIONS)
            methods = _Methods(self._record)
            try:
                made = getattr(methods, name)(*args, **options)
            except RedisError as error:  # redis-py looks at arguments, too
                raise InvalidArgument(f"the arguments of {name}", args, str(error)) from error
            methods.is_inside = False
            return made if methods.recorded is None else methods.recorded

        method.__name__ = name
        method.__doc__ = getattr(_Methods, name).__doc__
        return method

    def __dir__(self) -> Iterable[str]:
        """Name the methods, for whoever looks."""
        return [name for name in dir(CoreCommands) if not name.startswith("_")]
