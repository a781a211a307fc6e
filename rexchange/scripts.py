"""Find the Lua scripts, link their modules, and know their SHA1.

A script is one file of `lua/`; a module is one file of `lua/lib/`, fetched with a real `require("lib.x")`, which Redis
does not have. So a script is sent as one chunk: its modules as factories that run on the first `require`, then its own
text. Modules that only branches require are made by one function, at the first such `require`: a call that needs none
of them, as nearly all do, pays for one closure in place of 40 (a settle of one message took twice as long).

Comments and indentation are left out of what is sent. That is done line by line, so a script has no long strings and no
block comments; the linker refuses them.

fakeredis compiles a script at each EVAL. For it a script is linked lazily: modules are texts, compiled on the first
`require`, so that a call pays for what it runs. Redis compiles a script once, and would pay at each call.

This module knows files and text. It does not know Redis, nor what any script does.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from pathlib import Path

from rexchange.errors import ScriptError

_REQUIRE = re.compile(r'\brequire\("(lib(?:\.[a-z][a-z0-9_]*)+)"\)')
_ANY_REQUIRE = re.compile(r"""\brequire\s*[("'{\[]""")
_LONG_BRACKET = re.compile(r"\[=*\[")
_BLOCK_COMMENT = re.compile(r"--\[=*\[")

# `require` is a local of the chunk: fakeredis has a global of that name, and a new global breaks its later scripts.
# A constructor makes each table of factories in its final size: entered one by one it would grow six times a call.
_PREAMBLE = """\
local __m, __b, require = {}
local __f = {
"""
_AFTER_EAGER = """\
}
local function __rest()
return {
"""
_AFTER_FACTORIES = """\
}
end
function require(n)
local m = __m[n]
if m == nil then
local f = __f[n]
if f == nil then
__b = __b or __rest()
f = __b[n]
end
m = f()
__m[n] = m
end
return m
end
"""


_LAZY_PREAMBLE = """\
local __f, __m = {}, {}
local function require(n)
local m = __m[n]
if m == nil then
m = loadstring(__f[n], n)(require)
__m[n] = m
end
return m
end
"""


@dataclass(frozen=True, slots=True)
class Script:
    """One linked script: its name (a file of `lua/`), the text to load, and the SHA1 by which EVALSHA calls it."""

    name: str
    text: bytes
    sha: str


@dataclass(frozen=True, slots=True)
class _Require:
    """One `require`: of which module, at "file:line", and whether it runs as soon as its own file does."""

    module: str
    where: str
    eager: bool


@dataclass(frozen=True, slots=True)
class _Source:
    """One Lua file: its code without comments, and what it requires."""

    code: str
    requires: tuple[_Require, ...]


def find_root(package: Path) -> Path:
    """Return the folder of scripts that belongs to the package in the folder `package`.

    An installed package holds its own copy, `_lua`; in a checkout `lua` lies beside the package.

    Raises:
        ScriptError: neither folder exists.
    """
    packaged, beside = package / "_lua", package.parent / "lua"
    for folder in (packaged, beside):
        if folder.is_dir():
            return folder
    raise _error(str(package), f"there are no Lua scripts, neither in {packaged} nor in {beside}")


@cache
def root() -> Path:
    """Return the folder of this installation's scripts.

    Raises:
        ScriptError: there is none; the message names the two places looked at.
    """
    return find_root(Path(__file__).resolve().parent)


def names() -> tuple[str, ...]:
    """Return the names of all scripts, sorted."""
    return tuple(sorted(path.stem for path in root().glob("*.lua")))


@cache
def load(name: str, *, lazy: bool = False) -> Script:
    """Return a script by its name, linked; `lazy` for a server that compiles it at each call.

    Raises:
        ScriptError: no such script, or it cannot be linked; the message names file and line.
    """
    return link(root(), name, lazy=lazy)


def link(folder: Path, name: str, *, lazy: bool = False) -> Script:
    """Link the script `name` of `folder` with the modules that it requires, directly or through others.

    Raises:
        ScriptError: a file is missing, modules require each other in a circle, or a file holds what the linker cannot
            strip or resolve; the message names file and line.
    """
    main = _read(folder, f"{name}.lua", wanted_at=None)
    modules: dict[str, _Source] = {}
    _collect(folder, main, modules)
    for module, source in modules.items():
        _check_circles(source, modules, (module,))
    text = main.code
    if modules and lazy:
        texts = (f'__f["{module}"] = [==[local require = ...\n{code.code}]==]\n' for module, code in modules.items())
        text = _LAZY_PREAMBLE + "".join(texts) + text
    elif modules:
        eager = set(_eager(main, modules))
        made = {module: f'["{module}"] = function()\n{source.code}end,\n' for module, source in modules.items()}
        first = "".join(factory for module, factory in made.items() if module in eager)
        rest = "".join(factory for module, factory in made.items() if module not in eager)
        text = _PREAMBLE + first + _AFTER_EAGER + rest + _AFTER_FACTORIES + text
    encoded = text.encode()
    return Script(name, encoded, sha1(encoded, usedforsecurity=False).hexdigest())


def _collect(folder: Path, source: _Source, modules: dict[str, _Source]) -> None:
    """Add to `modules` all that `source` requires, directly or through others, each once."""
    for wanted in source.requires:
        if wanted.module not in modules:
            module = _read(folder, f"{wanted.module.replace('.', '/')}.lua", wanted_at=wanted.where)
            modules[wanted.module] = module
            _collect(folder, module, modules)


def _eager(source: _Source, modules: dict[str, _Source]) -> Iterator[str]:
    """Yield the modules that every call runs."""
    for wanted in source.requires:
        if wanted.eager:
            yield wanted.module
            yield from _eager(modules[wanted.module], modules)


def _check_circles(source: _Source, modules: dict[str, _Source], path: tuple[str, ...]) -> None:
    """Refuse modules that need each other in order to load; one of them may require the other inside a function."""
    for wanted in source.requires:
        if not wanted.eager:
            continue
        if wanted.module in path:
            circle = " -> ".join((*path[path.index(wanted.module) :], wanted.module))
            raise _error(wanted.where, f"modules require each other in a circle: {circle}")
        _check_circles(modules[wanted.module], modules, (*path, wanted.module))


def _read(folder: Path, relative: str, wanted_at: str | None) -> _Source:
    path = folder / relative
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise _error(wanted_at or relative, f"no such file: {path}") from error
    lines: list[str] = []
    requires: list[_Require] = []
    for number, raw in enumerate(text.split("\n"), start=1):
        line, where = raw.strip(), f"{relative}:{number}"
        _check(line, where)
        if not line or line.startswith("--"):
            continue
        # The formatter indents the body of every function and branch, so only what loads the file begins at column 1.
        eager = not raw[0].isspace()
        requires += [_Require(module, where, eager) for module in _REQUIRE.findall(line)]
        lines.append(line + "\n")
    return _Source("".join(lines), tuple(requires))


def _check(line: str, where: str) -> None:
    """Refuse what stripping line by line would break, and a `require` that cannot be resolved here."""
    if _BLOCK_COMMENT.search(line):
        raise _error(where, "block comments are not supported: begin each line with --")
    if line.startswith("--"):
        return
    if _LONG_BRACKET.search(line) or line.endswith("\\"):
        raise _error(where, "strings over several lines are not supported: use quotes and ..")
    if len(_REQUIRE.findall(line)) != len(_ANY_REQUIRE.findall(line)):
        raise _error(where, 'require takes one literal name: require("lib.name")')


def _error(where: str, reason: str) -> ScriptError:
    return ScriptError(f"{where}: {reason}")
