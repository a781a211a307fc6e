"""Keys: one hash tag a vhost, and none that the table in the docstring does not hold."""

from pathlib import Path

import pytest

from rexchange import keyspace, scripts
from rexchange.keyspace import Keys, scan_pattern, vhost_of

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
    "alarm",
    "traits",
    "windows",
    "choosy",
    "sole",
    "idle",
    "timed",
    "bytes",
    "measures",
    "retrying",
    "later",
    "parcels",
    "fates",
    "fading",
    "quota",
    "offsets",
    "shares",
    "sharing",
    "graves",
    "trace",
    "traced",
    "traces",
]
NAMED = {
    "bindings:<exchange>": KEYS.bindings(b"n"),
    "routes:<exchange>": KEYS.routes(b"n"),
    "stream:<queue>": KEYS.stream(b"n"),
    "wake:<queue>": KEYS.wake(b"n"),
    "users:<queue>": KEYS.users(b"n"),
    "session:<id>": KEYS.session(b"n"),
    "order:<queue>": KEYS.order(b"n"),
    "bell:<consumer>": KEYS.bell(b"n"),
    "retries:<queue>": KEYS.retries(b"n"),
    "body:<share>": KEYS.body(b"n"),
}
SCRIPTS_ALONE = [
    "ranks:<queue>",
    "waiting:<queue>",
    "history:<exchange>",
    "marks:<queue>",
    "places:<queue>",
    "policies",
    "grave:<number>",
]
"""Python does not name these."""


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
    assert rows == {*PLAIN, *NAMED, *SCRIPTS_ALONE, "inbound:<q|x>:<name>"}


def test_python_builds_no_key_that_is_not_tried_here() -> None:
    public = {name for name in Keys.__slots__ if not name.startswith("_")}
    assert public == {*PLAIN, "prefix"}
    assert {name for name in Keys.__slots__ if name.startswith("_")} == {
        *(f"_{row.partition(':')[0]}" for row in NAMED),
        "_inbound_queue",
        "_inbound_exchange",
    }


@pytest.mark.parametrize("row", SCRIPTS_ALONE)
def test_scripts_build_these_keys(row: str) -> None:
    start = row.partition("<")[0]
    texts = [path.read_text(encoding="utf-8") for path in Path(scripts.root()).rglob("*.lua")]
    assert any(f'.. "{start}"' in text for text in texts)


def test_a_scan_finds_the_keys_of_one_vhost_or_of_all() -> None:
    assert scan_pattern() == b"rx:{*}:"
    assert scan_pattern(b"shop") == b"rx:{shop}:"
    assert scan_pattern(b"a*b?[c]^-\\d") == rb"rx:{a\*b\?\[c\]\^\-\\d}:"


def test_a_vhost_is_known_by_its_key() -> None:
    assert vhost_of(Keys("/é".encode()).vhost) == "/é"
    assert vhost_of(b"rx:{\xff}:vhost") == "\\xff"
    for other in (KEYS.queues, KEYS.stream(b"vhost"), b"rx:{}:vhost", b"rx:{a}b}:vhost", b"x" + KEYS.vhost, b"vhost"):
        assert vhost_of(other) is None


def test_repr_shows_the_vhost() -> None:
    assert repr(KEYS) == "Keys(b'rx:{shop}:')"
