"""The codec gives back what it was given, writes what its docstring says, and names what it cannot read."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rexchange.codec import (
    FieldValue,
    as_text,
    canonical_table,
    decode_table,
    decode_value,
    encode_table,
    encode_value,
    netstring,
    read_netstring,
)
from rexchange.errors import InvalidArgument, ScriptError

KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
    st.datetimes(timezones=st.just(UTC)).map(lambda instant: instant.replace(microsecond=0)),
    st.decimals(allow_nan=False, allow_infinity=False),
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))
TABLES = st.dictionaries(KEYS, VALUES, max_size=6)


def typed(value: object) -> object:
    """A value with its types, since 1 == True == 1.0 in Python."""
    if isinstance(value, Mapping):
        return [(key, typed(each)) for key, each in value.items()]
    if isinstance(value, list):
        return [typed(each) for each in value]
    return type(value), str(value) if isinstance(value, Decimal | float) else value


@given(TABLES)
def test_a_table_comes_back_as_it_was_order_and_types_included(table: dict[str, FieldValue]) -> None:
    assert typed(decode_table(encode_table(table))) == typed(table)


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        (None, b"n"),
        (True, b"t"),
        (False, b"f"),
        (-5, b"i-5"),
        (1.5, b"d1.5"),
        ("é", b"s\xc3\xa9"),
        (b"\xff", b"b\xff"),
        (datetime(1970, 1, 2, 0, 0, 0, 999_999, tzinfo=UTC), b"T86400"),
        (datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC), b"T-1"),
        (datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), b"T0"),
        (Decimal("1.50"), b"D1.50"),
        ([1, "a"], b"l2:i12:sa"),
        ((), b"l"),
        ({"k": 1}, b"m1:k2:i1"),
    ],
)
def test_typed_values_are_written_as_the_docstring_says(value: object, raw: bytes) -> None:
    assert encode_value(value) == raw


def test_not_a_number_survives() -> None:
    value = decode_value(encode_value(math.nan))
    assert isinstance(value, float)
    assert math.isnan(value)


@given(st.dictionaries(KEYS, SCALARS))
def test_the_canonical_form_does_not_know_the_order_of_keys(table: dict[str, FieldValue]) -> None:
    assert canonical_table(dict(reversed(table.items()))) == canonical_table(table)


def test_the_canonical_form_sorts_at_every_depth_and_takes_bytes_for_text() -> None:
    assert canonical_table({"b": [{"d": b"x", "c": 1}], "a": None}) == canonical_table(
        {"a": None, "b": ({"c": 1, "d": "x"},)}
    )


@pytest.mark.parametrize(("one", "other"), [(1, "1"), (1, True), (1, 1.0), (0, None), (0, False), ("", None)])
def test_the_canonical_form_keeps_types_apart(one: FieldValue, other: FieldValue) -> None:
    assert canonical_table({"a": one}) != canonical_table({"a": other})


@pytest.mark.parametrize(
    "value",
    [
        2**63,
        -(2**63) - 1,
        object(),
        {1, 2},
        datetime(2026, 1, 1),  # noqa: DTZ001 - a naive one is the case
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=12))),
        Decimal("NaN"),
        Decimal("Infinity"),
        "\ud800",
        bytearray(b"x"),
        [object()],
        {"inner": object()},
        {1: "a key that is no text"},
        {"k" * 256: 1},
    ],
)
def test_what_amqp_has_no_type_for_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        encode_table({"outer": value}, "headers")
    assert "headers['outer']" in caught.value.argument


@pytest.mark.parametrize("table", [[("a", 1)], "a", None])
def test_a_table_is_a_dict(table: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        encode_table(table, "arguments")
    assert caught.value.argument == "arguments"


def test_a_string_argument_is_text_however_it_was_given() -> None:
    assert [as_text(value) for value in ("é", "é".encode(), b"\xff", "", 5, None)] == [
        "é",
        "é",
        "\\xff",
        "",
        None,
        None,
    ]


def test_tables_in_tables_have_an_end() -> None:
    value: FieldValue = 1
    for _ in range(32):
        value = [value]
    assert decode_value(encode_value(value)) == value
    with pytest.raises(InvalidArgument, match="at most 32 levels"):
        encode_value([value])


@pytest.mark.parametrize("wrap", [lambda raw: b"l" + netstring(raw), lambda raw: b"m1:k" + netstring(raw)])
def test_foreign_bytes_that_nest_too_deep_are_corrupt(wrap: Any) -> None:
    raw = b"n"
    for _ in range(5000):
        raw = wrap(raw)
    with pytest.raises(ScriptError, match="corrupt"):
        decode_value(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"x",
        b"nn",
        b"tx",
        b"i",
        b"ix",
        b"dx",
        b"s\xff",
        b"T",
        b"T99999999999999999",
        b"Dx",
        b"D\xff",
        b"l5:n",
        b"l-1:",
    ],
)
def test_a_corrupt_value_is_named(raw: bytes) -> None:
    with pytest.raises(ScriptError, match="the header a is corrupt"):
        decode_value(raw, "the header a")


@pytest.mark.parametrize("raw", [b"1", b"1:", b"x:a", b"-1:a", b":a", b"2:ab", b"1:\xff1:n", b"1" * 30 + b":a"])
def test_a_corrupt_table_is_named(raw: bytes) -> None:
    with pytest.raises(ScriptError, match="the headers is corrupt"):
        decode_table(raw, "the headers")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for decode in (decode_value, decode_table):
        try:
            decode(raw)
        except ScriptError as error:
            assert "corrupt" in str(error)  # noqa: PT017 - either is fine, nothing else is


def test_a_long_corrupt_one_is_shown_in_part() -> None:
    with pytest.raises(ScriptError) as caught:
        decode_table(b"x" * 1000)
    assert len(str(caught.value)) < 100


def test_netstrings() -> None:
    assert netstring(b"abc") == b"3:abc"
    assert read_netstring(b"..3:abc1:d", 2, "it") == (b"abc", 7)
