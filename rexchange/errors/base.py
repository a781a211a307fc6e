"""What all errors share, and those of wrong input."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Rebuild = tuple[Callable[..., "RexchangeError"], tuple[object, ...]]

SHOWN_CHARACTERS = 80
# Greedy up to the last "@": a password with a raw "@" or "/" in it must not be shown in part.
_USER_PART = re.compile(r"://\S*@")
_PASSWORD_OPTION = re.compile(r"(?i)([?&]\w*password=)[^&\s'\"]*")


def redact(text: str) -> str:
    """Return `text` with passwords of URLs in it masked."""
    return _PASSWORD_OPTION.sub(r"\1***", _USER_PART.sub("://***@", text))


def shown(value: object) -> str:
    """Return the repr of a value, masked and cut: a body of megabytes does not belong in a message."""
    if isinstance(value, str | bytes | bytearray):
        value = value[:4096]
    text = redact(repr(value))
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def _rebuild(cls: type[RexchangeError], args: tuple[object, ...], fields: dict[str, object]) -> RexchangeError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(fields)
    return error


class RexchangeError(Exception):
    """The base of everything rexchange raises on purpose."""

    reply_code: ClassVar[int | None] = None

    def __reduce__(self) -> Rebuild:
        """Pickle by fields: Exception's own way calls __init__ with the message alone, which fails."""
        return _rebuild, (type(self), self.args, dict(self.__dict__))


class InvalidArgument(RexchangeError, ValueError):
    """A Python argument has a wrong type or is out of range; nothing was sent.

    `value` is its repr, cut to 80 characters; `wanted` says in words what is taken.
    """

    def __init__(self, argument: str, value: object, wanted: str) -> None:
        """Keep the fields; `value` is anything."""
        self.argument = argument
        self.value = shown(value)
        self.wanted = wanted
        super().__init__(f"{argument} is {self.value}: wanted {wanted}")


class Problem(NamedTuple):
    """What is wrong with definitions or a topology, and what to do; where in the file, or with which object.

    `why`: "invalid" (it must be mended), "differs" (another one of this name is there), "unsupported", "in use" (it
    is not deleted).
    """

    message: str
    kind: str = ""
    vhost: str = ""
    name: str = ""
    line: int | None = None
    column: int | None = None
    why: Literal["invalid", "differs", "unsupported", "in use"] = "invalid"


class DefinitionsError(RexchangeError, ValueError):
    """Definitions or a topology that cannot be read, imported or applied; nothing was written.

    The fields are those of the first problem.
    """

    def __init__(self, problems: Sequence[Problem], *, file: str = "") -> None:
        """Take all that is wrong, at least one, and the name of the file where there is one."""
        self.problems = list(problems)
        self.file = file
        first = self.problems[0]
        self.kind, self.vhost, self.name, self.line, self.column = first[1:6]
        listed = [problem.message for problem in self.problems]
        text = listed[0] if len(listed) == 1 else f"{len(listed)} problems" + "".join(f"\n- {each}" for each in listed)
        super().__init__(redact(f"{file}: {text}" if file else text))
