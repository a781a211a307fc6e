"""Every logger of the library is named in docs/consuming.md."""

from __future__ import annotations

import logging
import re
import secrets
from pathlib import Path

import pytest

from rexchange import Broker, Message
from rexchange.errors import BrokerConnectionError
from rexchange.testing import memory_broker

ROOT = Path(__file__).parents[2]


def test_each_logger_is_documented() -> None:
    used = {
        name
        for path in (ROOT / "rexchange").rglob("*.py")
        for name in re.findall(r'getLogger\("rexchange\.?([a-z]*)"\)', path.read_text())
    }
    text = (ROOT / "docs" / "consuming.md").read_text()
    (listed,) = re.findall(r"Loggers are (.*?); no password", text, re.DOTALL)

    assert used == {name.removeprefix("rexchange").removeprefix(".") for name in re.findall(r"`([a-z.]+)`", listed)}


def test_no_password_and_no_body_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    secret = secrets.token_hex(8)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(BrokerConnectionError), Broker(f"redis://user:{secret}@127.0.0.1:1/0", retry_timeout=0.2):
        pass
    assert "trying again" in caplog.text

    with memory_broker() as broker:
        broker.declare_queue("q")
        broker.publish_many([Message(secret.encode(), routing_key="q", headers={"token": secret})] * 3)
        broker.get("q", auto_ack=False)
        with broker.consume("q", auto_ack=False, timeout=0) as consumer:
            for delivery in consumer:
                delivery.nack(requeue=False)
        broker.delete_queue("q")
    assert secret not in caplog.text
