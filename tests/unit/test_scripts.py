"""The linker: what it emits, what it refuses, and that what it emits runs on fakeredis and on Redis."""

from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis
from lupa import lua51
from redis.backoff import NoBackoff
from redis.retry import Retry

from rexchange import scripts
from rexchange.errors import ScriptError


def write(folder: Path, **files: str) -> Path:
    """Write Lua files; `lib__x` is lib/x.lua."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.lua"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def refusal(folder: Path, name: str = "main") -> str:
    with pytest.raises(ScriptError) as caught:
        scripts.link(folder, name)
    return str(caught.value)


@pytest.fixture(params=["fakeredis", "redis"])
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    client: Any
    if request.param == "fakeredis":
        client = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=False)
    else:
        client = redis.Redis(host="127.0.0.1", protocol=2, decode_responses=False, retry=Retry(NoBackoff(), 0))
        try:
            client.ping()
        except redis.ConnectionError:
            client.close()
            pytest.skip("no Redis answers at 127.0.0.1:6379")
    yield client
    client.close()


# --- what is emitted


def test_a_script_without_modules_is_its_own_code_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, main='--- Says hello.\n-- A word.\n\nlocal word = "hello"\nif word then\n  return word\nend\n')
    script = scripts.link(tmp_path, "main")
    assert script.text == b'local word = "hello"\nif word then\nreturn word\nend\n'
    assert script.name == "main"
    assert script.sha == sha1(script.text, usedforsecurity=False).hexdigest()


def test_a_module_required_by_two_is_linked_once(tmp_path: Path) -> None:
    write(
        tmp_path,
        main='local a = require("lib.a")\nlocal b = require("lib.b")\nreturn a .. b\n',
        lib__a='return "a" .. require("lib.c")\n',
        lib__b='return "b" .. require("lib.c")\n',
        lib__c='return "c"\n',
    )
    text = scripts.link(tmp_path, "main").text
    assert text.count(b'["lib.c"] = function()') == 1


def test_a_module_in_a_folder_is_named_with_dots(tmp_path: Path, client: Any) -> None:
    write(tmp_path, main='return require("lib.deep.x_1")\n', lib__deep__x_1="return 7\n")
    assert client.eval(scripts.link(tmp_path, "main").text, 0) == 7


def test_linked_modules_run_and_are_shared_within_a_call(tmp_path: Path, client: Any) -> None:
    write(
        tmp_path,
        main='local count = require("lib.count")\ncount.up()\nrequire("lib.other")()\nreturn count.n\n',
        lib__count="local M = { n = 0 }\nfunction M.up()\n  M.n = M.n + 1\nend\nreturn M\n",
        lib__other='return function()\n  require("lib.count").up()\nend\n',
    )
    script = scripts.link(tmp_path, "main")
    assert [client.eval(script.text, 0) for _ in range(2)] == [2, 2]
    assert client.script_load(script.text) in (script.sha, script.sha.encode())


def test_a_module_runs_only_when_its_branch_does(tmp_path: Path, client: Any) -> None:
    write(
        tmp_path,
        main='if ARGV[1] == "rare" then\n  return require("lib.rare")\nend\nreturn "usual"\n',
        lib__rare='return redis.error_reply("NOT_FOUND rare")\n',
    )
    text = scripts.link(tmp_path, "main").text
    assert client.eval(text, 0, "usual") == b"usual"
    with pytest.raises(redis.ResponseError, match="rare"):
        client.eval(text, 0, "rare")


def test_what_only_branches_require_is_made_by_one_function(tmp_path: Path, client: Any) -> None:
    write(
        tmp_path,
        main='local a = require("lib.a")\nif ARGV[1] then\n  return require("lib.rare") .. require("lib.late")\n'
        "end\nreturn a\n",
        lib__a='local b = require("lib.b")\nreturn b\n',
        lib__b='return "b"\n',
        lib__rare='local b, late = require("lib.b"), require("lib.late")\nreturn "rare" .. b .. late\n',
        lib__late='return "late"\n',
    )
    text = scripts.link(tmp_path, "main").text
    made, rest = text.split(b"local function __rest()")
    for name, part in {"a": made, "b": made, "rare": rest, "late": rest}.items():
        assert b'["lib.%b"] = function()' % name.encode() in part
    assert client.eval(text, 0) == b"b"
    assert client.eval(text, 0, "rare") == b"rareblatelate"


def test_a_script_that_requires_in_branches_alone(tmp_path: Path, client: Any) -> None:
    write(tmp_path, main='if ARGV[1] then\n  return require("lib.a")\nend\nreturn 0\n', lib__a="return 1\n")
    text = scripts.link(tmp_path, "main").text
    assert [client.eval(text, 0), client.eval(text, 0, "rare")] == [0, 1]


def test_two_modules_may_require_each_other_inside_functions(tmp_path: Path, client: Any) -> None:
    write(
        tmp_path,
        main='return require("lib.even")(4)\n',
        lib__even='local odd = require("lib.odd")\nreturn function(n)\n  return n == 0 and 1 or odd(n - 1)\nend\n',
        lib__odd='return function(n)\n  return n == 0 and 0 or require("lib.even")(n - 1)\nend\n',
    )
    assert client.eval(scripts.link(tmp_path, "main").text, 0) == 1


def test_no_global_is_left_behind(tmp_path: Path, client: Any) -> None:
    write(tmp_path, main='return require("lib.a")\n', lib__a="return 1\n")
    leaked = 'for _, n in ipairs({ "__f", "__m", "__b", "__rest" }) do if rawget(_G, n) then return n end end return 0'
    text = scripts.link(tmp_path, "main").text
    assert [client.eval(text, 0), client.eval(leaked, 0), client.eval(text, 0)] == [1, 0, 1]


# --- what is refused


def test_a_missing_module_is_named_with_the_line_that_wants_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        main='local a = require("lib.a")\nreturn a\n',
        lib__a='local M = {}\n\nM.b = require("lib.b")\nreturn M\n',
    )
    message = refusal(tmp_path)
    assert "lib/a.lua:3" in message
    assert str(tmp_path / "lib" / "b.lua") in message


def test_a_missing_script_is_named(tmp_path: Path) -> None:
    assert "absent.lua" in refusal(tmp_path, "absent")


@pytest.mark.parametrize("main", ['return require("lib.a")\n', 'if KEYS[1] then\n  return require("lib.a")\nend\n'])
def test_a_circle_of_modules_is_shown(tmp_path: Path, main: str) -> None:
    write(
        tmp_path,
        main=main,
        lib__a='local b = require("lib.b")\nreturn b\n',
        lib__b='local c = require("lib.c")\nreturn c\n',
        lib__c='-- closes the circle\nlocal a = require("lib.a")\nreturn a\n',
    )
    message = refusal(tmp_path)
    assert "lib.a -> lib.b -> lib.c -> lib.a" in message
    assert "lib/c.lua:2" in message


@pytest.mark.parametrize(
    "line",
    [
        "local name = [[long]]",
        "local name = [==[long]==]",
        "--[[ a block",
        "local x = 1 --[[ a block ]]",
        'local name = "goes on\\',
        'local a = require("topic")',
        "local a = require('lib.topic')",
        'local a = require "lib.topic"',
        'local a = require("lib." .. name)',
    ],
)
def test_what_cannot_be_linked_line_by_line_is_refused(tmp_path: Path, line: str) -> None:
    write(tmp_path, main=f"-- fine [[here]] and require('x')\nlocal ok = KEYS[ARGV[1]]\n{line}\n")
    assert "main.lua:3" in refusal(tmp_path)


# --- where the scripts are


def test_the_packaged_scripts_come_before_those_beside_the_package(tmp_path: Path) -> None:
    package, packaged, beside = tmp_path / "rexchange", tmp_path / "rexchange" / "_lua", tmp_path / "lua"
    package.mkdir()
    with pytest.raises(ScriptError) as caught:
        scripts.find_root(package)
    assert str(packaged) in str(caught.value)
    assert str(beside) in str(caught.value)
    beside.mkdir()
    assert scripts.find_root(package) == beside
    packaged.mkdir()
    assert scripts.find_root(package) == packaged


def test_every_script_links_once() -> None:
    names = scripts.names()
    assert names
    assert list(names) == sorted(path.stem for path in scripts.root().glob("*.lua"))
    for name in names:
        assert scripts.load(name) is scripts.load(name)
        assert scripts.load(name).text.decode().isascii()


@pytest.mark.parametrize("name", scripts.names())
def test_every_script_compiles_as_lua_5_1(name: str) -> None:
    lua51.LuaRuntime(encoding=None).compile(scripts.load(name).text)
