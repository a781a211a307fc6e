"""URLs of each kind, by connecting: TLS and a socket file, and what is said where they do not fit the server."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from rexchange import AsyncBroker, Broker
from rexchange.cli.hints import hint
from rexchange.errors import BrokerConnectionError
from tests.chaos.servers import free_port, running


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """One server with three doors: TLS, none, and a socket file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on this machine to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    key, certificate, socket = (folder / name for name in ("key.pem", "certificate.pem", "redis.sock"))
    make = [openssl, *["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]]
    make += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(make, check=True, capture_output=True)
    port = free_port()
    files = ["--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate)]
    tls = ["--tls-port", str(port), "--tls-auth-clients", "no", *files]
    with running("redis", *tls, "--unixsocket", str(socket), aof=False) as server:
        yield {
            "tls": f"rediss://localhost:{port}/0?ssl_ca_certs={certificate}",
            "tls, trusted unseen": f"rediss://localhost:{port}/0?ssl_cert_reqs=none",
            "socket file": f"unix://{socket}",
            "TLS without its authority": f"rediss://localhost:{port}/0",
            "TLS to the plain port": f"rediss://127.0.0.1:{server.port}/0",
            "plain to the port for TLS": f"redis://localhost:{port}/0",
        }


@pytest.mark.parametrize("kind", ["tls", "tls, trusted unseen", "socket file"])
def test_a_message_goes_round(urls: dict[str, str], kind: str) -> None:
    with Broker(urls[kind]) as broker:
        broker.declare_queue("q")
        broker.publish(b"1", routing_key="q")
        with broker.consume("q", auto_ack=False, timeout=5) as consumer:
            delivery = next(consumer)
            delivery.nack(wait=True)
            assert next(consumer).redelivered
            consumer.ack(0, multiple=True, wait=True)
        assert broker.delete_queue("q") == 0


@pytest.mark.parametrize("kind", ["tls", "tls, trusted unseen", "socket file"])
def test_a_message_goes_round_async(urls: dict[str, str], kind: str) -> None:
    async def work() -> None:
        async with AsyncBroker(urls[kind]) as broker:
            await broker.declare_queue("q")
            await broker.publish(b"1", routing_key="q")
            async with broker.consume("q", auto_ack=False, timeout=5) as consumer:
                await (await anext(consumer)).ack(wait=True)
            assert await broker.delete_queue("q") == 0

    asyncio.run(work())


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("TLS without its authority", "ssl_ca_certs=FILE"),
        ("TLS to the plain port", "is this its port for TLS?"),
        ("plain to the port for TLS", "(the URL begins with rediss:// then)"),
    ],
)
def test_a_url_that_does_not_fit_is_told(urls: dict[str, str], kind: str, told: str) -> None:
    with pytest.raises(BrokerConnectionError) as caught, Broker(urls[kind], retry_timeout=0.5) as broker:
        broker.open()
    assert told in hint(caught.value)
    assert urls[kind].split("?")[0] in str(caught.value)
