"""How Redis keeps exchanges, queues and bindings: records, binding ids, packed destinations.

Records are written by scripts from a head and a tail made here, since only a script knows what stands between: the
exchange's generation, the queue's incarnation.

- exchange: ``<type><durable><auto_delete><internal>[D];<generation>;<alternate><arguments table>``, where <type> is a
  letter, D says that it delays (x-delayed-message), and <alternate> is ``-`` or a netstring
- queue: ``<durable><auto_delete>;<incarnation>;<timeout ms, 0: none>;<netstring of owner><arguments table>``
- binding id: ``<q|x><netstring of destination><netstring of binding key><canonical arguments>``
- destinations: ``<q|x><netstring of name>`` of each
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from rexchange.arguments import ALTERNATE_EXCHANGE, DELAYED_TYPE
from rexchange.codec import (
    as_text,
    canonical_table,
    decode_table,
    encode_table,
    netstring,
    read_netstring,
    short_string,
)
from rexchange.errors import InvalidArgument, ScriptError, TopologyLost
from rexchange.topology import DELAYED, Binding, DestinationKind, Exchange, Queue, check_name, check_type, is_durable

_LETTERS = {
    "direct": b"d",
    "fanout": b"f",
    "topic": b"t",
    "headers": b"h",
    "x-consistent-hash": b"c",
    "x-modulus-hash": b"m",
    "x-random": b"r",
    "x-recent-history": b"y",
}
_TYPES = {letter: name for name, letter in _LETTERS.items()}
_KIND_LETTERS: dict[DestinationKind, bytes] = {"queue": b"q", "exchange": b"x"}
_LETTER_KINDS: dict[bytes, DestinationKind] = {b"q": "queue", b"x": "exchange"}


def _flags(*flags: bool) -> bytes:
    return b"".join(b"1" if flag else b"0" for flag in flags)


def encode_alternate(alternate: str | None) -> bytes:
    """Return the part of an exchange's record that says where what it does not route goes."""
    return b"-" if alternate is None else netstring(check_name(ALTERNATE_EXCHANGE, alternate))


def encode_exchange(exchange: Exchange, alternate: str | None = None) -> tuple[bytes, bytes]:
    """Return head and tail of an exchange's record; `alternate` is what a policy says, the argument beats it."""
    own = exchange.alternate_exchange
    where = encode_alternate(alternate if own is None else own)
    check_type(exchange.type, exchange.name)
    delayed = exchange.type == DELAYED
    letter = _LETTERS[as_text(exchange.arguments.get(DELAYED_TYPE)) or "" if delayed else exchange.type]
    head = letter + _flags(exchange.durable, exchange.auto_delete, exchange.internal) + (b"D" if delayed else b"")
    return head, where + encode_table(exchange.arguments, "arguments")


def decode_exchange(name: bytes, record: bytes, *, key: bytes) -> Exchange:
    """Return the exchange of a record found in `key`; TopologyLost that names the key where it is corrupt."""
    try:
        head, generation, tail = record.split(b";", 2)
        _check_digits(generation)
        durable, auto_delete, internal = _flags_of(head[1:].removesuffix(b"D"), 3)
        after = 1 if tail[:1] == b"-" else read_netstring(tail, 0, "the alternate exchange")[1]
        arguments = decode_table(tail[after:], "the arguments")
        kind = DELAYED if head[4:] else _TYPES[head[:1]]
        return Exchange(name.decode(), kind, durable, auto_delete, internal, arguments)
    except (ValueError, KeyError, ScriptError) as error:
        raise _lost("exchange", name, key, record) from error


def encode_queue(queue: Queue) -> tuple[bytes, bytes]:
    """Return head and tail of a queue's record; an exclusive queue without an owner is InvalidArgument."""
    owner = short_string("owner", queue.owner) if queue.exclusive else b""
    if queue.exclusive and not owner:
        raise InvalidArgument("owner", queue.owner, "the session that the exclusive queue belongs to")
    timeout = queue.ack_timeout or timedelta(0)
    tail = b"%d;" % (timeout // timedelta(milliseconds=1)) + netstring(owner)
    return _flags(is_durable(queue), queue.auto_delete), tail + encode_table(queue.arguments, "arguments")


def decode_queue(name: bytes, record: bytes, *, key: bytes, message_count: int = 0, consumer_count: int = 0) -> Queue:
    """Return the queue of a record found in `key`; TopologyLost that names the key where it is corrupt."""
    try:
        head, incarnation, timeout, tail = record.split(b";", 3)
        _check_digits(timeout)
        durable, auto_delete = _flags_of(head, 2)
        owner, after = read_netstring(tail, 0, "the owner")
        return Queue(
            name=name.decode(),
            durable=durable,
            exclusive=owner != b"",
            auto_delete=auto_delete,
            arguments=decode_table(tail[after:], "the arguments"),
            owner=owner.decode(),
            incarnation=incarnation.decode(),
            message_count=message_count,
            consumer_count=consumer_count,
        )
    except (ValueError, ScriptError) as error:
        raise _lost("queue", name, key, record) from error


def encode_binding_id(binding: Binding) -> bytes:
    """Return what makes a binding this one, apart from its source: destination, key and arguments."""
    return b"".join(
        (
            _KIND_LETTERS[binding.destination_kind],
            netstring(check_name(binding.destination_kind, binding.destination)),
            netstring(short_string("binding_key", binding.binding_key)),
            canonical_table(binding.arguments),
        )
    )


def decode_binding(source: bytes, binding_id: bytes, arguments: bytes, *, key: bytes) -> Binding:
    """Return the binding stored in `key`; TopologyLost that names the key where it is corrupt."""
    try:
        destination, at = read_netstring(binding_id, 1, "the destination")
        binding_key, _ = read_netstring(binding_id, at, "the binding key")
        return Binding(
            source=source.decode(),
            destination=destination.decode(),
            destination_kind=_LETTER_KINDS[binding_id[:1]],
            binding_key=binding_key.decode(),
            arguments=decode_table(arguments, "the arguments"),
        )
    except (ValueError, KeyError, ScriptError) as error:
        raise _lost("binding", source, key, binding_id) from error


def pack_destinations(destinations: Iterable[tuple[DestinationKind, bytes]]) -> bytes:
    """Return ``<q|x><netstring of name>`` of each, joined."""
    return b"".join(_KIND_LETTERS[kind] + netstring(name) for kind, name in destinations)


def unpack_destinations(packed: bytes) -> list[tuple[DestinationKind, str]]:
    """Return what `pack_destinations` packed; ScriptError where corrupt."""
    found: list[tuple[DestinationKind, str]] = []
    at = 0
    while at < len(packed):
        kind = _LETTER_KINDS.get(packed[at : at + 1])
        if kind is None:
            raise ScriptError(f"packed destinations are corrupt at {at}: {packed[:60]!r}")
        name, at = read_netstring(packed, at + 1, "packed destinations")
        found.append((kind, name.decode("utf-8", "backslashreplace")))
    return found


def _check_digits(*numbers: bytes) -> None:
    """Refuse what scripts would not take for a number either: both sides must find the same records corrupt."""
    if not all(number.isdigit() for number in numbers):
        raise ValueError(numbers)


def _flags_of(raw: bytes, length: int) -> list[bool]:
    if len(raw) != length or raw.strip(b"01"):
        raise ValueError(raw)
    return [flag == ord("1") for flag in raw]


def _lost(kind: str, name: bytes, key: bytes, record: bytes) -> TopologyLost:
    shown = name.decode("utf-8", "backslashreplace")
    where = key.decode("utf-8", "backslashreplace")
    message = f"the record of {kind} {shown!r} in {where} is corrupt: {record[:60]!r}"
    return TopologyLost(message, kind=kind, name=shown, argument=where, current=record)
