"""What rexchange knows of a message and AMQP does not: when it is to be routed, and which other it must not repeat."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from rexchange.codec import FieldValue, short_string
from rexchange.errors import InvalidArgument

LONGEST = timedelta(days=36_525)
"""Of a delay or a window: a hundred years."""
_EPOCH, _MS = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)


class Special(NamedTuple):
    """The options of `rexchange.message.MessageArgs`, None where one was not given."""

    delay: timedelta | None = None
    at: datetime | None = None
    dedup_key: str | None = None
    dedup_window: timedelta | None = None

    def options(self) -> dict[str, FieldValue]:
        """Check them and return what publish is told (lua/lib/options.lua). Raises InvalidArgument."""
        found: dict[str, FieldValue] = {}
        if self.delay is not None and self.at is not None:
            raise InvalidArgument("at", self.at, f"either it or delay, which is {self.delay}")
        if self.at is not None:
            found["a"] = due_ms(self.at)
        elif self.delay is not None and (delay_ms := _ms("delay", self.delay, least=0)):
            found["l"] = delay_ms
        if self.dedup_key is not None and self.dedup_window is not None:
            if not short_string("dedup_key", self.dedup_key):
                raise InvalidArgument("dedup_key", self.dedup_key, "a str that is not empty")
            found["d"], found["w"] = self.dedup_key, _ms("dedup_window", self.dedup_window, least=1)
        elif self.dedup_key is not None or self.dedup_window is not None:
            missing = "dedup_window" if self.dedup_window is None else "dedup_key"
            raise InvalidArgument(missing, None, "both dedup_key and dedup_window: by what, and for how long")
        return found

    def check_time(self, now_ms: int) -> None:
        """Raise InvalidArgument where `at` is over, or further off than a hundred years."""
        if self.at is None:
            return
        left_ms = due_ms(self.at) - now_ms
        if not 0 < left_ms <= LONGEST // _MS:
            what = "is over" if left_ms <= 0 else "is more than a hundred years off"
            raise InvalidArgument("at", self.at.isoformat(), f"a time to come: this one {what}")


NAMES = frozenset(Special._fields)


def _ms(name: str, value: object, *, least: int) -> int:
    if not isinstance(value, timedelta):
        raise InvalidArgument(name, value, "a timedelta")
    if not timedelta(milliseconds=least) <= value <= LONGEST:
        raise InvalidArgument(name, str(value), f"from {least} ms to a hundred years")
    return value // _MS


def due_ms(at: object) -> int:
    """Return a time as ms since 1970, rounded up; raises InvalidArgument for what is no time with a zone."""
    if not isinstance(at, datetime) or at.utcoffset() is None:
        raise InvalidArgument("at", at, "a datetime with a time zone, such as datetime.now(UTC) + timedelta(hours=1)")
    return -((_EPOCH - at) // _MS)


def time_of(ms: int) -> datetime:
    """Return ms since 1970 as a time in UTC."""
    return _EPOCH + ms * _MS
