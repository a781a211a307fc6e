"""What all commands share: where the server is, what to print, how errors look and which exit code they give."""

from __future__ import annotations

import inspect
import json as json_module
import logging
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import IntEnum
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from rexchange import errors
from rexchange.cli.hints import hint

if TYPE_CHECKING:
    from types import FrameType

    from rich.console import RenderableType

    from rexchange import Broker

_CONNECTION = "Connection and output"
URL = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="Where the server is, such as redis://localhost:6379/0. Default: REXCHANGE_URL, else a server of its own.",
        rich_help_panel=_CONNECTION,
        metavar="URL",
    ),
]
VHOST = Annotated[
    str | None,
    typer.Option("--vhost", help="The virtual host. Default: REXCHANGE_VHOST, else /.", rich_help_panel=_CONNECTION),
]
RETRY_TIMEOUT = Annotated[
    str | None,
    typer.Option(
        "--retry-timeout",
        help="Seconds to go on trying to reach the server. Default: REXCHANGE_RETRY_TIMEOUT, else 5.",
        rich_help_panel=_CONNECTION,
        metavar="SECONDS",
    ),
]
JSON = Annotated[
    bool,
    typer.Option("--json", help="Print JSON, for programs.", rich_help_panel=_CONNECTION, show_default=False),
]
VERBOSE = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", help="Say more about the connection.", rich_help_panel=_CONNECTION, show_default=False
    ),
]

# The library goes on for 30 s, for a server that restarts; a person at a terminal wants to know sooner.
_RETRY_TIMEOUT = timedelta(seconds=5)
# `ping` asks just whether it answers.
PING_TIMEOUT = timedelta(seconds=1)


class ExitCode(IntEnum):
    """What the program returns."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOTHING = 3
    INTERRUPTED = 130
    TERMINATED = 143


@dataclass(frozen=True)
class Options:
    """The options that every command takes."""

    url: str | None = None
    vhost: str | None = None
    retry_timeout: str | None = None
    json: bool = False
    verbose: bool = False

    def over(self, earlier: Options) -> Options:
        """Return these, given after the command, and where one was not, the one given before it."""
        return Options(
            earlier.url if self.url is None else self.url,
            earlier.vhost if self.vhost is None else self.vhost,
            earlier.retry_timeout if self.retry_timeout is None else self.retry_timeout,
            self.json or earlier.json,
            self.verbose or earlier.verbose,
        )


@dataclass(frozen=True)
class Run:
    """One run of one command."""

    options: Options

    @property
    def json(self) -> bool:
        """Whether to print JSON."""
        return self.options.json

    def with_(self, **changes: Any) -> Run:  # noqa: ANN401 - the fields of Options
        """Return a run with other options."""
        return Run(replace(self.options, **changes))

    def broker(self, patience: timedelta = _RETRY_TIMEOUT, **settings: object) -> Broker:
        """Return a Broker for `with`. Raises InvalidArgument; `settings` are those of the library, None: not given.

        `patience`: it goes on for so long to reach the server, where the user did not say.
        """
        from rexchange import Broker
        from rexchange.settings import load

        given = {"vhost": self.options.vhost, "retry_timeout": self.options.retry_timeout, **settings}
        loaded = load(**given)
        if "retry_timeout" not in loaded.model_fields_set:
            loaded = load(**{**given, "retry_timeout": patience})
        return Broker(self.options.url, settings=loaded)

    def show(self, data: object, *lines: RenderableType) -> None:
        """Print the data as JSON, or else the lines, for people."""
        if self.json:
            typer.echo(json_module.dumps(data, ensure_ascii=False))
            return
        from rexchange.cli.output import console

        for line in lines:
            console().print(line, markup=False, highlight=False)

    def fail(self, text: str, hint: str = "", code: ExitCode = ExitCode.FAILED) -> NoReturn:
        """Say on stderr what is wrong, and end."""
        typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
        typer.echo(text, err=True)
        if hint:
            typer.echo(f"hint: {hint}", err=True)
        raise typer.Exit(code)

    def note(self, text: str) -> None:
        """Say something on stderr that is no result."""
        typer.echo(text, err=True)


def command(app: typer.Typer, name: str, **extra: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:  # noqa: ANN401 - Typer's own
    """Register a command; its function takes a `Run` first.

    The options of `Options` are added to its own, and what it raises on purpose becomes `error: ...` and a code.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def call(ctx: typer.Context, **given: Any) -> None:  # noqa: ANN401 - what Typer read
            own = Options(*(given.pop(option) for option in _COMMON))
            run = Run(own.over(ctx.obj if isinstance(ctx.obj, Options) else Options()))
            with _logging(verbose=run.options.verbose), terminable(), _explained(run):
                function(run, **given)

        _, *own = inspect.signature(function, eval_str=True).parameters.values()
        context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        keyword = inspect.Parameter.KEYWORD_ONLY
        common = [
            inspect.Parameter(option, keyword, default=default, annotation=annotation)
            for option, (annotation, default) in _COMMON.items()
        ]
        parameters = [context, *own, *common]
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # Typer reads it
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del call.__wrapped__  # Typer would read its parameters in place of ours
        app.command(name, help=_help(function), **extra)(call)
        return function

    return register


def _help(function: Callable[..., None]) -> str:
    """Return the docstring, a paragraph a line: the width of the terminal decides where lines end, not ours."""
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in (inspect.getdoc(function) or "").split("\n\n"))


_COMMON: dict[str, tuple[Any, object]] = {
    "url": (URL, None),
    "vhost": (VHOST, None),
    "retry_timeout": (RETRY_TIMEOUT, None),
    "json": (JSON, False),
    "verbose": (VERBOSE, False),
}


@contextmanager
def _explained(run: Run) -> Generator[None]:
    """Turn what was raised on purpose into plain words and an exit code. Everything else is a bug: a traceback."""
    try:
        yield
    except errors.InvalidArgument as error:
        run.fail(str(error), code=ExitCode.USAGE)
    except errors.RexchangeError as error:
        run.fail(str(error), hint(error))
    except BrokenPipeError:
        raise  # Typer knows what to do: whoever read our output has gone
    except OSError as error:
        run.fail(f"{error.filename or 'file'}: {error.strerror or error}")


@contextmanager
def terminable() -> Generator[None]:
    """Leave by the front door when told to end: what a consumer holds goes back at once, a demo cleans up.

    Ctrl-C is handled here too, though Python would raise KeyboardInterrupt: if that passes through an `exec` of a
    string (a dataclass being imported), Python 3.11 kills itself with SIGINT at the end, whatever the exit code.
    """
    codes = {signal.SIGTERM: ExitCode.TERMINATED, signal.SIGINT: ExitCode.INTERRUPTED}

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(codes[signal.Signals(number)])

    # Who started this in the background of a script has SIGINT ignored, and means it.
    before = {number: signal.signal(number, end) for number in codes if signal.getsignal(number) is not signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Echo(logging.Handler):
    """Prints what the library logs in the style of the program."""

    def __init__(self, *, verbose: bool) -> None:
        super().__init__()
        self._verbose = verbose

    def filter(self, record: logging.LogRecord) -> bool:
        # What to think of the server's persistence is `ping`'s to say: at every command it would be noise. That it is
        # being tried again has to be said: else nothing would be seen for seconds.
        told = self._verbose or record.name != "rexchange.connection" or record.levelno > logging.WARNING
        return told or getattr(record, "trying_again", False)

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(f"{record.levelname.lower()}: {record.getMessage()}", err=True)


@contextmanager
def _logging(*, verbose: bool) -> Generator[None]:
    library = logging.getLogger("rexchange")
    level = library.level
    handler = _Echo(verbose=verbose)
    library.addHandler(handler)
    library.setLevel(logging.INFO if verbose else logging.WARNING)
    try:
        yield
    finally:
        library.removeHandler(handler)
        library.setLevel(level)
