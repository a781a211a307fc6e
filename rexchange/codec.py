"""The codec of everything structured that rexchange keeps in Redis: netstrings, typed values, tables.

A netstring is ``<decimal length>:<bytes>``. A typed value is one letter and its text: ``n`` None, ``t`` True,
``f`` False, ``i`` int (signed 64 bit), ``d`` float, ``s`` str, ``b`` bytes, ``T`` whole seconds since 1970,
``D`` Decimal, ``l`` list (netstrings of typed values), ``m`` table (netstring of key, netstring of typed value, ...).
A table that stands alone has no ``m``. All of it is plain enough for Lua to read. What is written wrongly is the
caller's InvalidArgument, what cannot be read a ScriptError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeAlias, cast

from rexchange.errors import InvalidArgument, ScriptError

FieldValue: TypeAlias = (
    "bool | int | float | str | bytes | datetime | Decimal | Sequence[FieldValue] | Mapping[str, FieldValue] | None"
)
Table: TypeAlias = Mapping[str, FieldValue]

SHORT_BYTES = 255
"""AMQP's short string: names, keys, properties."""

_DEPTH = 32  # tables in tables: far more than anyone needs, far less than Python's recursion limit
_INT_LIMIT = 1 << 63
_EPOCH, _SECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(seconds=1)
_FIRST, _FINAL = -62_135_596_800, 253_402_300_799  # what datetime can say in UTC: a reader could not read more
_WORDS = {None: b"n", True: b"t", False: b"f"}


# --- writing


def as_text(value: object) -> str | None:
    """Return a string argument as str; b"x" equals "x" in AMQP tables."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, str) else None


def netstring(raw: bytes) -> bytes:
    """Return ``<length>:<raw>``."""
    return b"%d:%b" % (len(raw), raw)


def utf8(argument: str, text: str) -> bytes:
    """Return the text as UTF-8; a lone surrogate has none and raises InvalidArgument."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(argument, text, "text that has a UTF-8 form (no lone surrogates)") from error


def short_string(argument: str, text: object) -> bytes:
    """Return a str as UTF-8 of at most 255 bytes, AMQP's short string; else raise InvalidArgument."""
    if not isinstance(text, str):
        raise InvalidArgument(argument, text, "a str")
    raw = utf8(argument, text)
    if len(raw) > SHORT_BYTES:
        raise InvalidArgument(argument, text, f"at most {SHORT_BYTES} bytes of UTF-8, and it has {len(raw)}")
    return raw


def encode_value(value: object, argument: str = "value", *, canonical: bool = False, depth: int = 0) -> bytes:
    """Return the typed value; `argument` names it in the InvalidArgument raised for what AMQP has no type for.

    `canonical` is the form to compare by (RabbitMQ's rules; docs/semantics.md, Bindings and routing): "x" equals b"x",
    order of keys does not count.
    """
    if isinstance(value, str):
        return b"s" + utf8(argument, value)
    if isinstance(value, bytes):
        return (b"s" if canonical else b"b") + value
    if value is None or value is True or value is False:
        return _WORDS[value]
    if isinstance(value, int):
        if not -_INT_LIMIT <= value < _INT_LIMIT:
            raise InvalidArgument(argument, value, "an int of at most 64 bits, with its sign")
        return b"i%d" % value
    if isinstance(value, float):
        return b"d" + repr(float(value)).encode()
    return _encode_rare(value, argument, canonical=canonical, depth=depth)


def _encode_rare(value: object, argument: str, *, canonical: bool, depth: int) -> bytes:
    if depth >= _DEPTH:
        raise InvalidArgument(argument, type(value).__name__, f"at most {_DEPTH} levels of lists and tables")
    if isinstance(value, Mapping):
        table = cast("Mapping[object, object]", value)
        return b"m" + encode_table(table, argument, canonical=canonical, depth=depth + 1)
    if isinstance(value, list | tuple):
        items = cast("Sequence[object]", value)
        return b"l" + b"".join(
            netstring(encode_value(item, f"{argument}[{index}]", canonical=canonical, depth=depth + 1))
            for index, item in enumerate(items)
        )
    if isinstance(value, datetime):
        return b"T%d" % _seconds(value, argument)
    if isinstance(value, Decimal) and value.is_finite():
        return b"D" + str(value).encode()
    raise InvalidArgument(
        argument, value, "None, bool, int, float, str, bytes, datetime, finite Decimal, list, tuple or dict"
    )


def _seconds(value: datetime, argument: str) -> int:
    """Return AMQP's timestamp: whole seconds since 1970."""
    if value.utcoffset() is None:
        raise InvalidArgument(argument, value, "a datetime with a time zone: a naive one names no instant")
    seconds = (value - _EPOCH) // _SECOND
    if not _FIRST <= seconds <= _FINAL:
        raise InvalidArgument(argument, value, "an instant that is in the years 1 to 9999 in UTC too")
    return seconds


def encode_table(
    table: Mapping[object, object] | Table, argument: str = "table", *, canonical: bool = False, depth: int = 0
) -> bytes:
    """Return the table, keys in the order given; keys are str of at most 255 bytes, else InvalidArgument."""
    if not isinstance(table, Mapping):
        raise InvalidArgument(argument, table, "a dict")
    items = [
        (
            short_string(f"a key of {argument}", key),
            encode_value(value, f"{argument}[{key!r}]", canonical=canonical, depth=depth),
        )
        for key, value in table.items()
    ]
    if canonical:
        items.sort()
    return b"".join([b"%d:%b%d:%b" % (len(key), key, len(value), value) for key, value in items])


def canonical_table(table: Table, argument: str = "arguments") -> bytes:
    """Return the form in which equal tables are equal bytes: keys sorted, recursively, bytes written as str."""
    return encode_table(table, argument, canonical=True)


# --- reading


def read_netstring(raw: bytes, start: int, what: str) -> tuple[bytes, int]:
    """Return the netstring at `start` and where the next one begins; raise ScriptError naming `what` if cut."""
    colon = raw.find(b":", start, start + 20)
    digits = raw[start:colon]
    if colon < 0 or not digits.isdigit():
        raise corrupt(what, raw)
    end = colon + 1 + int(digits)
    if end > len(raw):
        raise corrupt(what, raw)
    return raw[colon + 1 : end], end


def corrupt(what: str, raw: bytes) -> ScriptError:
    """Return the error for bytes that cannot be read: `what` they are, and how they begin."""
    return ScriptError(f"{what} is corrupt: {raw[:60]!r}{'...' if len(raw) > 60 else ''}")  # noqa: PLR2004 - a look


def read_text(raw: bytes, what: str) -> str:
    """Return UTF-8 as str; raise ScriptError naming `what` where it is none."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise corrupt(what, raw) from error


def decode_value(raw: bytes, what: str = "a value", depth: int = 0) -> FieldValue:
    """Return the typed value; raise ScriptError naming `what` where it cannot be read."""
    kind = raw[:1]
    read = _READERS.get(kind)
    if read is not None:
        try:
            return read(raw[1:])
        except (ValueError, ArithmeticError, OSError) as error:
            raise corrupt(what, raw) from error
    if raw in _CONSTANTS:
        return _CONSTANTS[raw]
    if kind == b"m" and depth < _DEPTH:
        return decode_table(raw[1:], what, depth + 1)
    if kind == b"l" and depth < _DEPTH:
        return _decode_list(raw[1:], what, depth + 1)
    raise corrupt(what, raw)


def _decode_list(raw: bytes, what: str, depth: int) -> list[FieldValue]:
    values: list[FieldValue] = []
    at = 0
    while at < len(raw):
        typed, at = read_netstring(raw, at, what)
        values.append(decode_value(typed, what, depth))
    return values


def decode_table(raw: bytes, what: str = "a table", depth: int = 0) -> dict[str, FieldValue]:
    """Return the table as a dict; raise ScriptError naming `what` where it cannot be read."""
    table: dict[str, FieldValue] = {}
    at = 0
    while at < len(raw):
        key, at = read_netstring(raw, at, what)
        typed, at = read_netstring(raw, at, what)
        table[read_text(key, what)] = decode_value(typed, what, depth)
    return table


_CONSTANTS: dict[bytes, FieldValue] = {word: value for value, word in _WORDS.items()}
_READERS: dict[bytes, Callable[[bytes], FieldValue]] = {
    b"s": bytes.decode,
    b"b": bytes,
    b"i": int,
    b"d": float,
    b"T": lambda raw: datetime.fromtimestamp(int(raw), UTC),
    b"D": lambda raw: Decimal(raw.decode()),
}
