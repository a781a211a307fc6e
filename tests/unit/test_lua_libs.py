"""The Lua modules by themselves: topic trie, headers, packing, against plain Python that knows nothing of them.

One script drives a module through many operations in one EVAL, since fakeredis compiles a script at each.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rexchange import scripts
from rexchange.arguments import headers_match as match_form
from rexchange.codec import FieldValue, canonical_table, netstring
from rexchange.records import encode_binding_id, pack_destinations, unpack_destinations
from rexchange.testing import forget
from rexchange.topology import Binding
from tests.support import reference
from tests.support.servers import Bare

pytest.importorskip("fakeredis")

DRIVERS = {
    "topic": """
local topic = require("lib.topic")
local answers = {}
for i = 1, #ARGV, 3 do
  if ARGV[i] == "match" then
    answers[#answers + 1] = topic.match(KEYS[1], ARGV[i + 1])
  else
    topic[ARGV[i]](KEYS[1], ARGV[i + 1], "q", ARGV[i + 2])
  end
end
return answers
""",
    "headers": """
local headers = require("lib.headers")
local answers = {}
for i = 1, #ARGV, 3 do
  if ARGV[i] == "match" then
    answers[#answers + 1] = headers.match(KEYS[1], ARGV[i + 1])
  else
    require("lib.headers_index")[ARGV[i]](KEYS[1], ARGV[i + 1], ARGV[i + 2])
  end
end
return answers
""",
    "pack": """
local pack = require("lib.pack")
if ARGV[1] == "without" then
  return require("lib.packed").without(ARGV[2], ARGV[3], ARGV[4])
elseif ARGV[1] == "binding" then
  return { pack.binding(ARGV[2]) }
end
local kinds, names, count = pack.destinations(ARGV[2])
return { kinds, names, count, pack.net(ARGV[2]), { pack.read(pack.net(ARGV[2]) .. "x", 1) } }
""",
}


class Lua:
    """Runs the drivers on a fakeredis of its own; `key` is a new one for each example."""

    def __init__(self, folder: Path, url: str) -> None:
        (folder / "lib").symlink_to(scripts.root() / "lib")
        for name, text in DRIVERS.items():
            (folder / f"{name}.lua").write_text(text, encoding="utf-8")
        self._texts = {name: scripts.link(folder, name).text for name in DRIVERS}
        self.ask = Bare(url)

    def key(self) -> str:
        return secrets.token_hex(8)

    def __call__(self, driver: str, key: str, *args: bytes | str) -> Any:
        return self.ask("EVAL", self._texts[driver], 1, key, *args)

    def fields(self, key: str) -> list[bytes]:
        return sorted(self.ask("HKEYS", key))

    def nodes(self, key: str) -> list[bytes]:
        """The fields of a trie but for the last node's number, which goes with the exchange's last binding."""
        return [field for field in self.fields(key) if field != b"next"]


@pytest.fixture(scope="module")
def lua(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lua]:
    name = secrets.token_hex(8)
    made = Lua(tmp_path_factory.mktemp("lua"), f"memory://{name}")
    yield made
    made.ask.close()
    forget(name)


# --- the topic trie

# Few words, so that patterns and keys meet; `#` and `*` often, empty words, and what only looks like a wildcard.
PATTERN = st.lists(st.sampled_from(["a", "b", "", "*", "*", "#", "#", "#", "##", "a*"]), max_size=6).map(".".join)
KEY = st.lists(st.sampled_from(["a", "b", "", "#", "*", "##", "a*"]), max_size=7).map(".".join)


def inserts(patterns: Sequence[str]) -> list[str]:
    return [word for at, pattern in enumerate(patterns) for word in ("insert", pattern, str(at))]


def matches(keys: Sequence[str]) -> list[str]:
    return [word for key in keys for word in ("match", key, "")]


def expected(patterns: dict[int, str], key: str) -> set[str]:
    return {str(at) for at, pattern in patterns.items() if reference.topic_matches(pattern, key)}


def found(packed: bytes) -> list[str]:
    return [name for _, name in unpack_destinations(packed)]


def assert_matches(answers: Sequence[bytes], patterns: dict[int, str], keys: Sequence[str]) -> None:
    for answer, key in zip(answers, keys, strict=True):
        names = found(answer)
        assert set(names) == expected(patterns, key), key
        assert len(names) == len(set(names)), f"{key}: a binding is found twice"


@settings(max_examples=80, deadline=None)
@given(st.lists(PATTERN, max_size=12), st.lists(KEY, min_size=1, max_size=8))
def test_the_trie_matches_as_the_reference_does(lua: Lua, patterns: list[str], keys: list[str]) -> None:
    answers = lua("topic", lua.key(), *inserts(patterns), *matches(keys))
    assert_matches(answers, dict(enumerate(patterns)), keys)


@settings(max_examples=60, deadline=None)
@given(st.lists(PATTERN, min_size=1, max_size=12), st.lists(KEY, min_size=1, max_size=4), st.randoms())
def test_what_is_taken_out_is_gone_the_rest_stays_and_nothing_is_left_in_the_end(
    lua: Lua, patterns: list[str], keys: list[str], chance: random.Random
) -> None:
    order = list(range(len(patterns)))
    chance.shuffle(order)
    steps = [
        word for at in order for word in ("remove", patterns[at], str(at), *matches(keys))
    ]  # after each removal all keys are matched anew
    key = lua.key()
    answers = lua("topic", key, *inserts(patterns), *steps)
    left = dict(enumerate(patterns))
    for step, at in enumerate(order):
        del left[at]
        assert_matches(answers[step * len(keys) : (step + 1) * len(keys)], left, keys)
    assert lua.nodes(key) == []


def test_taking_out_what_is_not_there_changes_nothing(lua: Lua) -> None:
    key = lua.key()
    lua("topic", key, *inserts(["a.b", "a.#", ""]))
    before = lua.ask("HGETALL", key)
    lua("topic", key, *("remove", "a.b.c", "0"), *("remove", "b", "0"), *("remove", "a.b", "no such name"))
    assert lua.ask("HGETALL", key) == before


def test_one_of_two_equal_bindings_is_taken_out_at_a_time(lua: Lua) -> None:
    key = lua.key()
    same = ("insert", "a.*", "q")
    assert [found(each) for each in lua("topic", key, *same, *same, *matches(["a.b"]))] == [["q", "q"]]
    once = lua("topic", key, "remove", "a.*", "q", *matches(["a.b"]))
    assert [found(each) for each in once] == [["q"]]
    assert lua("topic", key, "remove", "a.*", "q", *matches(["a.b"])) == [b""]
    assert lua.nodes(key) == []


def test_a_trie_that_was_emptied_can_be_filled_again(lua: Lua) -> None:
    key = lua.key()
    for patterns in (["a.#", "#.b"], ["#.b", "a"]):
        answers = lua("topic", key, *inserts(patterns), *matches(["a", "a.b"]))
        assert_matches(answers, dict(enumerate(patterns)), ["a", "a.b"])
        lua("topic", key, *(word for at, each in enumerate(patterns) for word in ("remove", each, str(at))))
        assert lua.nodes(key) == []


def test_deep_keys(lua: Lua) -> None:
    deep = ".".join("abcdefghijklmnopqrstuvwxyz")
    patterns = [deep, ".".join("*" * 26), "#", "#.z", "a.#", "#.m.#", ".".join("*" * 25), "#." + ".".join("*" * 26)]
    assert_matches(lua("topic", lua.key(), *inserts(patterns), *matches([deep])), dict(enumerate(patterns)), [deep])


def test_many_hashes_do_not_blow_up(lua: Lua) -> None:
    """C(46, 15) ways to share 31 words among 15 `#`: a matcher that tries them all never comes back."""
    patterns = ["#." * 14 + "#", ".a.".join(["#"] * 15), "#." * 15 + "b", "#.*." * 10 + "#"]
    keys = [".".join("a" * 31), ".".join("a" * 30 + "b"), ".".join("a" * 14), ".".join("a" * 13)]
    answers = lua("topic", lua.key(), *inserts(patterns), *matches(keys))
    assert_matches(answers, dict(enumerate(patterns)), keys)


def test_names_and_words_may_hold_what_packing_uses(lua: Lua) -> None:
    key = lua.key()
    name = "q:1;x3:é"
    (answer,) = lua("topic", key, "insert", "a:1.d0.c0.next.é", name, *matches(["a:1.d0.c0.next.é"]))
    assert found(answer) == [name]
    lua("topic", key, "remove", "a:1.d0.c0.next.é", name)
    assert lua.nodes(key) == []


# --- headers

# Few names and values, so that bindings meet messages; values that are equal to a lax eye.
NAMES = st.sampled_from(["a", "b", "é", "x-a"])
SCALARS = st.sampled_from([None, True, 1, 1.0, "1", ""])
MODES = st.sampled_from(
    [{}, {"x-match": "all"}, {"x-match": "any"}, {"x-match": "all-with-x"}, {"x-match": "any-with-x"}]
)
TESTS = st.tuples(MODES, st.dictionaries(NAMES, SCALARS, max_size=3)).map(lambda pair: pair[1] | pair[0])


Bound: TypeAlias = tuple[str, str, dict[str, Any]]
"""Destination, binding key and arguments."""
# Few destinations: one has many bindings, and two that are alike but for the key. A name may look like packing.
BOUND = st.tuples(st.sampled_from(["1", "2", "q1:1"]), st.sampled_from(["", "k"]), TESTS)
TABLES = st.lists(st.dictionaries(NAMES, SCALARS, max_size=4), min_size=1, max_size=4)


def binding_of(bound: Bound) -> bytes:
    destination, key, arguments = bound
    return encode_binding_id(Binding("h", destination, binding_key=key, arguments=arguments))


def bound_steps(what: str, bound: Bound) -> list[bytes]:
    return [what.encode(), binding_of(bound), match_form(bound[2])]


def header_matches(tables: Sequence[dict[str, FieldValue]]) -> list[bytes]:
    return [word for table in tables for word in (b"match", canonical_table(table), b"")]


def wanted(bindings: Sequence[Bound], table: dict[str, FieldValue]) -> set[str]:
    return {destination for destination, _, arguments in bindings if reference.headers_match(arguments, table)}


@settings(max_examples=80, deadline=None)
@given(st.lists(BOUND, max_size=10, unique_by=binding_of), TABLES, st.randoms())
def test_headers_match_as_the_reference_does(
    lua: Lua, bindings: list[Bound], tables: list[dict[str, FieldValue]], chance: random.Random
) -> None:
    """After each binding that comes or goes all tables are matched; in the end nothing is left in the index."""
    key, steps, states = lua.key(), list[bytes](), list[list[Bound]]()
    bound: list[Bound] = []
    coming = list(bindings)
    while coming or bound:
        if coming and (not bound or chance.random() < 0.7):
            bound.append(coming.pop())
            steps += bound_steps("insert", bound[-1])
        else:
            steps += bound_steps("remove", bound.pop(chance.randrange(len(bound))))
        steps += header_matches(tables)
        states.append(list(bound))
    answers = iter(lua("headers", key, *steps))
    for state in states:
        for table in tables:
            assert set(found(next(answers))) == wanted(state, table)
    assert lua.fields(key) == []


def test_a_common_test_is_left_to_the_bindings_that_have_no_other(lua: Lua) -> None:
    """Else each message of the kind would look at every tenant's binding."""
    key, tenants = lua.key(), 40
    bindings: list[Bound] = [("q", "", {"any": None, "kind": "a", "tenant": at}) for at in range(tenants)]
    lua("headers", key, *(word for each in bindings for word in bound_steps("insert", each)))
    filed: dict[bytes, int] = {}
    for field in lua.fields(key):
        if field.startswith(b"="):
            filed[field] = lua.ask("HGET", key, field).count(b"1:q")
    assert sum(filed.values()) == tenants
    assert max(filed.values()) == 1
    assert b"=3:any" not in filed, "presence is met by more messages than a value"


def test_more_headers_and_tests_than_one_command_takes(lua: Lua) -> None:
    """Lua's `unpack` fails near 8,000."""
    key = lua.key()
    many: dict[str, FieldValue] = {f"h{at}": at for at in range(5000)}
    bindings: list[Bound] = [
        ("all", "", many),
        ("any", "", many | {"x-match": "any"}),
        ("last", "", {"h4999": 4999, "h9": 9}),
    ]
    lua("headers", key, *(word for each in bindings for word in bound_steps("insert", each)))
    (answer, none) = lua("headers", key, *header_matches([many, dict.fromkeys(many, "x")]))
    assert set(found(answer)) == {"all", "any", "last"}
    assert found(none) == []
    lua("headers", key, *(word for each in bindings for word in bound_steps("remove", each)))
    assert lua.fields(key) == []


# --- packing

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DESTINATIONS = st.lists(st.tuples(st.sampled_from(["queue", "exchange"]), TEXT.map(str.encode)), max_size=6)


@settings(max_examples=60, deadline=None)
@given(DESTINATIONS)
def test_lua_reads_destinations_as_python_packs_them(lua: Lua, destinations: list[tuple[Any, bytes]]) -> None:
    packed = pack_destinations(destinations)
    kinds, names, count, net, read = lua("pack", "-", "destinations", packed)
    assert kinds == [b"q" if kind == "queue" else b"x" for kind, _ in destinations]
    assert names == [name for _, name in destinations]
    assert count == len(destinations)
    assert net == netstring(packed)
    assert read == [packed, len(net) + 1]


@settings(max_examples=60, deadline=None)
@given(DESTINATIONS, st.integers(0, 5))
def test_one_destination_less(lua: Lua, destinations: list[tuple[Any, bytes]], at: int) -> None:
    kind, name = destinations[at % len(destinations)] if destinations else ("queue", b"none")
    less = list(destinations)
    if destinations:
        less.remove((kind, name))
    packed = pack_destinations(destinations)
    assert lua("pack", "-", "without", packed, b"q" if kind == "queue" else b"x", name) == pack_destinations(less)


@settings(max_examples=60, deadline=None)
@given(TEXT, TEXT, st.sampled_from(["queue", "exchange"]))
def test_lua_reads_a_binding_id(lua: Lua, destination: str, key: str, kind: Any) -> None:
    name = "".join(char for char in destination if char not in "\0\r\n")
    arguments: dict[str, FieldValue] = {"x-match": "any", key: 1}
    binding_id = encode_binding_id(Binding("source", name, kind, key, arguments))
    letter = b"q" if kind == "queue" else b"x"
    assert lua("pack", "-", "binding", binding_id) == [
        letter,
        name.encode(),
        key.encode(),
        canonical_table(arguments),
    ]
