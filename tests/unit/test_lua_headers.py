"""Every script's header is true: fixed in form, and the same names in the same order as its first statement.

For example::

    --- What it does.
    -- KEYS[1] vhost_key     what that is
    -- ARGV[1] limit_count   what that is, with its unit
    -- ARGV[2..] id, ...     a variadic tail
    -- Returns what.
    local vhost_key, limit_count = KEYS[1], tonumber(ARGV[1])
"""

import re
from itertools import takewhile
from pathlib import Path

import pytest

from rexchange import scripts

PROTOCOL = Path(scripts.__file__).resolve().parent / "protocol"
PARAMETER = re.compile(r"^-- (KEYS|ARGV)\[(\d+)\] +([a-z][a-z0-9_]*) {2,}\S")
VARIADIC = re.compile(r"^-- (KEYS|ARGV)\[(\d+)\.\.\] +\S")
VALUE = re.compile(r"^(?:tonumber\()?(KEYS|ARGV)\[(\d+)\]\)?$")


def lines_of(name: str) -> list[str]:
    return (scripts.root() / f"{name}.lua").read_text(encoding="utf-8").splitlines()


def header_of(name: str) -> list[str]:
    return list(takewhile(lambda line: line.startswith("--"), lines_of(name)))


def first_statement(name: str) -> str:
    """The first statement that is no `require`, its lines joined."""
    code = [line for line in lines_of(name)[len(header_of(name)) :] if line and "require(" not in line]
    statement = code[0]
    for line in code[1:]:
        if not statement.rstrip().endswith(("=", ",")):
            break
        statement = f"{statement.rstrip()} {line.strip()}"
    return statement


@pytest.mark.parametrize("name", scripts.names())
def test_the_header_has_the_fixed_form(name: str) -> None:
    header = header_of(name)
    assert re.match(r"^--- [A-Z].*\S", header[0]), f"line 1 says what the script does: {header[0]}"
    rows = [line for line in header if re.match(r"^-- (KEYS|ARGV)\[", line)]
    for row in rows:
        assert PARAMETER.match(row) or VARIADIC.match(row), f"not `-- ARGV[n] name  meaning`: {row}"
    returns = [at for at, line in enumerate(header) if line.startswith("-- Returns ")]
    assert returns, "no line `-- Returns ...`"
    assert not rows or returns[0] > header.index(rows[-1]), "the parameters come before `-- Returns`"


@pytest.mark.parametrize("name", scripts.names())
def test_parameters_are_numbered_without_gaps(name: str) -> None:
    for table in ("KEYS", "ARGV"):
        rows = [line for line in header_of(name) if line.startswith(f"-- {table}[")]
        numbers = [int(number) for row in rows for number in re.findall(r"^-- \w+\[(\d+)", row)]
        assert numbers == list(range(1, len(rows) + 1)), f"{table}: {numbers}"
        assert not any(VARIADIC.match(row) for row in rows[:-1]), "only the last one may be variadic"


@pytest.mark.parametrize("name", scripts.names())
def test_the_first_statement_names_the_parameters_of_the_header(name: str) -> None:
    declared = [match.groups() for match in map(PARAMETER.match, header_of(name)) if match]
    if not declared:
        return
    statement = first_statement(name)
    assert statement.startswith("local "), f"the first statement takes KEYS and ARGV: {statement}"
    left, _, right = statement.removeprefix("local ").partition(" = ")
    values = [VALUE.match(part.strip()) for part in right.split(",")]
    assert all(values), f"only KEYS[n], ARGV[n] and tonumber(ARGV[n]) stand there: {right}"
    taken = [(*match.groups(), word.strip()) for match, word in zip(values, left.split(","), strict=True) if match]
    assert taken == declared


@pytest.mark.parametrize("name", scripts.names())
def test_every_script_is_called_by_the_protocol(name: str) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(PROTOCOL.rglob("*.py")))
    assert f'"{name}"' in text, f"no Call in rexchange/protocol names {name}"
