"""Keys: one hash tag a vhost, and none that the table in the docstring does not hold."""

from rexchange import keyspace
from rexchange.keyspace import Keys

KEYS = Keys(b"shop")
PLAIN = [
    "vhost",
    "exchanges",
    "queues",
    "cache",
    "returned",
    "managed",
    "consumers",
    "fences",
    "sessions",
    "due",
    "visits",
    "lanes",
]
NAMED = {
    "bindings:<exchange>": KEYS.bindings(b"n"),
    "routes:<exchange>": KEYS.routes(b"n"),
    "stream:<queue>": KEYS.stream(b"n"),
    "wake:<queue>": KEYS.wake(b"n"),
    "users:<queue>": KEYS.users(b"n"),
    "session:<id>": KEYS.session(b"n"),
}


def test_plain_keys_are_the_prefix_and_their_name() -> None:
    assert KEYS.prefix == b"rx:{shop}:"
    for name in PLAIN:
        assert getattr(KEYS, name) == b"rx:{shop}:" + name.encode()


def test_named_keys_end_with_the_name() -> None:
    for row, key in NAMED.items():
        assert key == f"rx:{{shop}}:{row.partition(':')[0]}:n".encode()
    assert KEYS.inbound("queue", b"n") == b"rx:{shop}:inbound:q:n"
    assert KEYS.inbound("exchange", b"n") == b"rx:{shop}:inbound:x:n"


def test_names_and_vhosts_are_free_bytes() -> None:
    keys = Keys("/é %d".encode())
    assert keys.stream(b"%s{}:\xff") == "rx:{/é %d}:stream:".encode() + b"%s{}:\xff"


def test_the_table_in_the_docstring_is_complete() -> None:
    rows = {line.split()[0].strip("`") for line in (keyspace.__doc__ or "").splitlines() if line.startswith("``")}
    assert rows == {*PLAIN, *NAMED, "inbound:<q|x>:<name>"}


def test_repr_shows_the_vhost() -> None:
    assert repr(KEYS) == "Keys(b'rx:{shop}:')"
