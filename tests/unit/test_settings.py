"""Settings come from arguments, the environment and defaults, in this order, and do not contradict each other."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from rexchange.errors import InvalidArgument
from rexchange.settings import Settings, load


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("REXCHANGE_")]:
        monkeypatch.delenv(name)


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


def test_defaults() -> None:
    assert load().model_dump() == {
        "url": None,
        "vhost": "/",
        "ack_timeout": seconds(120),
        "session_timeout": seconds(15),
        "heartbeat": seconds(5),
        "prefetch": 100,
        "block": seconds(5),
        "connect_timeout": seconds(5),
        "socket_timeout": seconds(5),
        "retry_timeout": seconds(30),
        "consumer_retry_timeout": seconds(300),
        "max_body": 16 * 1024 * 1024,
        "max_batch": 1000,
        "max_call": 16 * 1024 * 1024,
        "settle_delay": seconds(0.005),
        "confirm": "memory",
        "confirm_timeout": None,
        "strict": False,
        "redeclare": False,
        "data_dir": None,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("90.5", 90.5), ("1e2", 100), ("PT1M30S", 90), ("00:01:30", 90)],
)
def test_times_in_the_environment_are_seconds_or_iso(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: float
) -> None:
    monkeypatch.setenv("REXCHANGE_ACK_TIMEOUT", text)
    assert load().ack_timeout == seconds(expected)


@pytest.mark.parametrize("given", [90, 90.0, "90", seconds(90)])
def test_times_as_arguments_are_seconds_or_timedelta(given: object) -> None:
    assert load(ack_timeout=given).ack_timeout == seconds(90)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "URL": "redis://host",
        "VHOST": "shop",
        "PREFETCH": "0",
        "STRICT": "true",
        "DATA_DIR": "here",
    }.items():
        monkeypatch.setenv(f"REXCHANGE_{name}", text)
    settings = load()
    assert settings.url is not None
    assert settings.url.get_secret_value() == "redis://host"
    assert (settings.vhost, settings.prefetch, settings.strict) == ("shop", 0, True)
    assert settings.data_dir == Path("here")


def test_arguments_win_over_the_environment_and_none_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REXCHANGE_PREFETCH", "7")
    assert load(prefetch=8).prefetch == 8
    assert load(prefetch=None).prefetch == 7


def test_an_empty_variable_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REXCHANGE_URL", "")
    assert load().url is None


def test_settings_are_frozen() -> None:
    settings = load()
    with pytest.raises(ValidationError):
        settings.prefetch = 1


def test_the_password_is_never_shown() -> None:
    settings = load(url="redis://user:secret@host")
    assert "secret" not in repr(settings) + str(settings) + repr(settings.model_dump())


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("ack_timeout", 0, "a time longer than 0"),
        ("ack_timeout", -1, "a time longer than 0"),
        ("heartbeat", 0, "a time longer than 0"),
        ("block", 0, "a time longer than 0"),
        ("settle_delay", -1, "a time of 0 or longer"),
        ("retry_timeout", -1, "a time of 0 or longer"),
        ("prefetch", -1, "greater than or equal to 0"),
        ("prefetch", "many", "a valid integer"),
        ("max_batch", 1001, "less than or equal to 1000"),
        ("max_body", 0, "greater than or equal to 1"),
        ("session_timeout", 9, "at least twice the heartbeat"),
        ("settle_delay", 120, "less than ack_timeout"),
        ("max_body", 17 * 1024 * 1024, "at most max_call"),
        ("ack_timeout", "soon", "a timedelta, seconds, or ISO 8601"),
        ("prefech", 1, "one of the settings: ack_timeout, block,"),
    ],
)
def test_what_cannot_be_is_refused_in_words(name: str, value: object, wanted: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        load(**{name: value})
    assert caught.value.argument == name
    assert wanted in caught.value.wanted


def test_the_environment_is_refused_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REXCHANGE_HEARTBEAT", "10")
    with pytest.raises(InvalidArgument, match="session_timeout is '0:00:15': wanted at least twice the heartbeat"):
        load()


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e300"])
def test_a_number_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        load(ack_timeout=text)
    assert caught.value.argument == "ack_timeout"


def test_no_time_is_fine_where_it_means_at_once() -> None:
    settings = load(settle_delay=0, retry_timeout=0, consumer_retry_timeout=0)
    assert settings.settle_delay == settings.retry_timeout == settings.consumer_retry_timeout == timedelta(0)


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())
