"""The settings of a broker, and the only reader of the environment (``REXCHANGE_*``).

Times are timedelta; in the environment seconds ("120", "0.5") or ISO 8601 ("PT2M"). Sizes are bytes.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from rexchange.confirms import read_level
from rexchange.errors import InvalidArgument

_ZERO = timedelta(0)
_MIB = 1024 * 1024


def _seconds(value: object) -> object:
    """Take "120" and "120.5" as seconds; pydantic itself takes numbers and ISO 8601 only."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def _positive(value: timedelta) -> timedelta:
    if value <= _ZERO:
        raise ValueError("a time longer than 0")
    return value


def _not_negative(value: timedelta) -> timedelta:
    if value < _ZERO:
        raise ValueError("a time of 0 or longer")
    return value


Time = Annotated[timedelta, BeforeValidator(_seconds), AfterValidator(_positive)]
TimeOrNone = Annotated[timedelta, BeforeValidator(_seconds), AfterValidator(_not_negative)]
Count = Annotated[int, Field(ge=1)]


class Settings(BaseSettings):
    """All settings, frozen. Make one with `load`, which raises InvalidArgument and no pydantic error."""

    model_config = SettingsConfigDict(
        env_prefix="REXCHANGE_",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,
    )

    url: SecretStr | None = Field(default=None, description="where the server is; None: an embedded one")
    vhost: str = Field(default="/", description="the virtual host")
    ack_timeout: Time = Field(default=timedelta(seconds=120), description="an unacked delivery is given back after")
    session_timeout: Time = Field(default=timedelta(seconds=15), description="a silent session is dead after")
    heartbeat: Time = Field(default=timedelta(seconds=5), description="how often a session is renewed")
    prefetch: Annotated[int, Field(ge=0, le=65535)] = Field(default=100, description="unacked a consumer; 0: no limit")
    block: Time = Field(default=timedelta(seconds=5), description="one blocking read lasts at most")
    connect_timeout: Time = Field(default=timedelta(seconds=5), description="connecting takes at most")
    socket_timeout: Time = Field(default=timedelta(seconds=5), description="an answer takes at most")
    retry_timeout: TimeOrNone = Field(default=timedelta(seconds=30), description="an operation is retried for")
    consumer_retry_timeout: TimeOrNone = Field(default=timedelta(seconds=300), description="a consumer reconnects for")
    max_body: Count = Field(default=16 * _MIB, description="bytes of one body")
    max_batch: Annotated[int, Field(ge=1, le=1000)] = Field(default=1000, description="messages of one call")
    max_call: Count = Field(default=16 * _MIB, description="bytes of all bodies of one call")
    settle_delay: TimeOrNone = Field(default=timedelta(milliseconds=5), description="a lone ack waits for company")
    confirm: str = Field(default="memory", description="a publish waits for: memory, replicated, replicated:2, synced")
    confirm_timeout: Time | None = Field(
        default=None, description="replicas or the disk are waited for; None: 3/5 of socket_timeout"
    )
    strict: bool = Field(default=False, description="refuse a server that may lose messages, where True")
    redeclare: bool = Field(default=False, description="declare again what was lost, where True")
    data_dir: Path | None = Field(default=None, description="the embedded server's folder; None: the user's")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Refuse settings that contradict each other."""
        if self.session_timeout < 2 * self.heartbeat:
            raise InvalidArgument(
                "session_timeout",
                str(self.session_timeout),
                f"at least twice the heartbeat ({self.heartbeat}): one late heartbeat would end the session",
            )
        if self.settle_delay >= self.ack_timeout:
            raise InvalidArgument(
                "settle_delay",
                str(self.settle_delay),
                f"less than ack_timeout ({self.ack_timeout}): every ack would come too late",
            )
        if self.confirm_timeout is not None and self.confirm_timeout >= self.socket_timeout:
            raise InvalidArgument(
                "confirm_timeout",
                str(self.confirm_timeout),
                f"less than socket_timeout ({self.socket_timeout}): the connection would be given up before",
            )
        read_level(self.confirm)  # raises
        if self.max_body > self.max_call:
            raise InvalidArgument(
                "max_body",
                self.max_body,
                f"at most max_call ({self.max_call}): the largest body would fit in no call",
            )
        return self


def load(**overrides: object) -> Settings:
    """Return the settings: overrides first, then the environment, then the defaults.

    An override of None counts as not given. Raises InvalidArgument that names the setting.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # pydantic checks the values; that is its work here
    except ValidationError as error:
        raise _translated(error) from error


def _translated(error: ValidationError) -> InvalidArgument:
    """Return the first of pydantic's complaints as ours; a refusal of `_agree` comes through whole."""
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InvalidArgument):
        return cause
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return InvalidArgument(name, first["input"], f"one of the settings: {', '.join(sorted(Settings.model_fields))}")
    if first["type"].startswith("time_delta"):  # pydantic says "invalid digit in duration" and the like
        return InvalidArgument(name, first["input"], "a timedelta, seconds, or ISO 8601 such as PT2M")
    return InvalidArgument(name, first["input"], str(cause) if cause else first["msg"].removeprefix("Input should be "))
