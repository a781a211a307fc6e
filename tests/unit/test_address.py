"""URLs and clients become addresses; addresses make connections that speak RESP2, decode nothing, retry nothing."""

from __future__ import annotations

import socketserver
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio as redis_async
import redis.asyncio.cluster
import redis.asyncio.sentinel
import redis.cluster
import redis.sentinel
from redis.credentials import UsernamePasswordCredentialProvider

from rexchange.errors import BrokerConnectionError, InvalidArgument, ServerRefused
from rexchange.server import embedded, failures, sockets
from rexchange.server.address import resolve
from rexchange.server.endpoint import Address, Colour

COLOURS: list[Colour] = ["sync", "async"]
SECRET = "s3cret"
SENTINEL: Any = redis.sentinel.Sentinel  # redis-py has not typed it


def made(address: Address, colour: Colour) -> Any:
    return address.connection(colour, socket_timeout=7.5, connect_timeout=2.5)


async def run(address: Address, colour: Colour, *commands: tuple[str | bytes, ...]) -> list[Any]:
    """Send commands in one write; error replies come back as their text."""
    connection = made(address, colour)
    replies: list[Any] = []
    if colour == "sync":
        connection.connect()
        connection.send_packed_command(connection.pack_commands(commands))
    else:
        await connection.connect()
        await connection.send_packed_command(connection.pack_commands(commands))
    for _ in commands:
        try:
            read = connection.read_response(disconnect_on_error=True)
            replies.append(read if colour == "sync" else await read)
        except redis.ResponseError as error:
            replies.append(failures.reply_text(error))
    closed = connection.disconnect()
    if colour == "async":
        await closed
    return replies


# --- URLs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "display", "settings"),
    [
        ("redis://", "redis://localhost:6379/0", {"host": "localhost", "port": 6379}),
        ("redis://h:7/3", "redis://h:7/3", {"host": "h", "port": 7, "db": 3}),
        ("redis://h?db=4", "redis://h:6379/4", {"host": "h", "port": 6379, "db": 4}),
        ("redis://[::1]:7/", "redis://[::1]:7/0", {"host": "::1", "port": 7}),
        (
            "redis://me:s3cret%2F%40x@h",
            "redis://h:6379/0",
            {"host": "h", "port": 6379, "username": "me", "password": "s3cret/@x"},
        ),
        ("redis://:s3cret@h", "redis://h:6379/0", {"host": "h", "port": 6379, "password": "s3cret"}),
        (
            "redis://h?decode_responses=True&max_connections=5&protocol=3&client_name=web&socket_keepalive=no",
            "redis://h:6379/0",
            {"host": "h", "port": 6379, "client_name": "web", "socket_keepalive": False},
        ),
        (
            "rediss://h?ssl_ca_certs=/ca.pem&ssl_check_hostname=0&ssl_min_version=771",
            "rediss://h:6379/0",
            {
                "host": "h",
                "port": 6379,
                "ssl_ca_certs": "/ca.pem",
                "ssl_check_hostname": False,
                "ssl_min_version": ssl.TLSVersion.TLSv1_2,
            },
        ),
        (
            "unix:///run/my%20redis.sock?db=2&password=s3cret",
            "unix:///run/my redis.sock?db=2",
            {"path": "/run/my redis.sock", "db": 2, "password": "s3cret"},
        ),
    ],
)
def test_a_url_is_read_into_settings(url: str, display: str, settings: dict[str, object]) -> None:
    address = resolve(url)
    assert address.display == display
    assert address.settings == settings
    assert SECRET not in repr(address)
    assert SECRET not in str(address)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("h:6379", "a URL redis://"),
        ("http://h", "a URL redis://"),
        ("redis:h", "a URL redis://"),
        ("redis://[::1", "a URL redis://"),
        ("redis://:s3cret#x@h", "a URL redis://"),
        ("redis://[::1]7", "IPv6"),
        ("redis://h:port", "port from 1 to 65535"),
        ("redis://h:70000", "port from 1 to 65535"),
        ("redis://me:s3cret/x@h", "%2F"),
        ("redis://h/orders", "database number"),
        ("redis://h?db=one", "another value for 'db'"),
        ("redis://h?colour=blue", "no option 'colour'"),
        ("redis://h?ssl_keyfile=x", "no option 'ssl_keyfile'"),
        ("redis://h1,h2", "one host"),
        ("rediss://h?ssl_check_hostname=perhaps", "another value"),
        ("unix://run/redis.sock", "absolute path"),
        ("unix://", "absolute path"),
        ("redis+sentinel://h", "name of the service"),
        ("redis+sentinel://h/mymaster/x", "database number"),
        ("memory://a?db=1", "nothing else"),
        ("embedded://relative/path", "three slashes"),
    ],
)
def test_a_wrong_url_is_refused_and_its_password_not_shown(url: str, wanted: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        resolve(url)
    assert wanted in str(caught.value)
    assert caught.value.argument == "url"
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("scheme", ["redis+cluster", "rediss+cluster"])
def test_a_cluster_is_refused(scheme: str) -> None:
    with pytest.raises(ServerRefused, match="does not support Redis Cluster yet") as caught:
        resolve(f"{scheme}://:s3cret@h")
    assert SECRET not in str(caught.value)


def test_a_sentinel_url() -> None:
    address = resolve("redis+sentinel://me:s3cret@a,b:7/orders/3?sentinel_password=s3cret2")
    assert address.display == "redis+sentinel://a:26379,b:7/orders/3"
    assert address.settings == {"username": "me", "password": "s3cret", "db": 3}
    assert address.master is not None
    assert address.master.service == "orders"
    assert [sentinel.settings for sentinel in address.master.sentinels] == [
        {"username": None, "password": "s3cret2", "host": "a", "port": 26379},
        {"username": None, "password": "s3cret2", "host": "b", "port": 7},
    ]
    secure = resolve("rediss+sentinel://a/m?ssl_ca_certs=/ca").master
    assert secure is not None
    assert secure.sentinels[0].kind == "tls"


def test_no_url_is_the_embedded_server_in_the_users_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert resolve() == resolve("") == resolve("embedded://") == resolve(f"embedded://{tmp_path}/rexchange")
    assert resolve().folder == tmp_path / "rexchange"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/me")
    assert embedded.default_folder() == Path("/home/me/.local/share/rexchange")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert embedded.default_folder() == Path("/home/me/Library/Application Support/rexchange")
    assert resolve("embedded:///a%20b").folder == Path("/a b")


def test_a_url_and_a_client_are_one_too_many() -> None:
    with pytest.raises(InvalidArgument, match="not both"):
        resolve("redis://h", fakeredis.FakeRedis())


# --- connections ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    "url", ["redis://h", "rediss://h", "unix:///s", "redis+sentinel://h/m", "embedded:///d", "memory://"]
)
def test_our_settings_win_whatever_the_source(url: str, colour: Colour) -> None:
    connection = made(resolve(url), colour)
    assert isinstance(connection, redis_async.connection.AbstractConnection) is (colour == "async")
    assert connection.protocol == 2
    assert connection.encoder.decode_responses is False
    assert connection.retry.get_retries() == 0
    assert connection.retry_on_error == []
    assert connection.health_check_interval == 0
    assert connection.driver_info is None
    assert connection.socket_timeout == 7.5
    assert connection.socket_connect_timeout == 2.5


@pytest.mark.parametrize("colour", COLOURS)
async def test_several_commands_in_one_write_and_error_replies_leave_the_connection_open(colour: Colour) -> None:
    replies = await run(
        resolve(f"memory://{colour}"),
        colour,
        ("SET", "k", b"\xff\x00"),
        ("LPUSH", "k", "x"),
        ("EVALSHA", "0" * 40, "0"),
        ("GET", "k"),
    )
    assert replies[0] == b"OK"
    assert replies[1].startswith("WRONGTYPE ")
    assert replies[2].startswith("NOSCRIPT ")
    assert replies[3] == b"\xff\x00"


async def test_memory_of_one_name_is_one_server_for_both_colours() -> None:
    await run(resolve("memory://shared"), "sync", ("SET", "k", "v"))
    assert await run(resolve("memory://shared"), "async", ("GET", "k")) == [b"v"]
    assert await run(resolve("memory://other"), "async", ("GET", "k")) == [None]


def test_memory_without_fakeredis_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fakeredis", None)
    with pytest.raises(BrokerConnectionError, match=r"pip install 'rexchange\[testing\]'"):
        resolve("memory://")


def test_what_needs_no_holding_is_held_for_nothing() -> None:
    resolve("memory://").hold()()


def test_an_embedded_server_that_is_not_held_is_not_started(tmp_path: Path) -> None:
    with pytest.raises(BrokerConnectionError, match="released"):
        made(resolve(f"embedded://{tmp_path}"), "sync").connect()
    assert list(tmp_path.iterdir()) == []


async def test_an_error_of_ours_survives_redis_pys_wrapping(tmp_path: Path) -> None:
    address = resolve(f"embedded://{tmp_path}")
    with pytest.raises(redis.ConnectionError) as caught:
        await made(address, "async").connect()
    assert "released" in str(failures.translate(caught.value, address, "not_done"))


# --- clients --------------------------------------------------------------------------------------------------------


def test_a_clients_settings_are_taken_and_its_decoding_retries_and_pool_are_not() -> None:
    client = redis.Redis(
        "h", 7, 3, SECRET, username="me", decode_responses=True, client_name="web", health_check_interval=3, protocol=3
    )
    address = resolve(client=client)
    assert address.display == "redis://h:7/3"
    assert SECRET not in repr(address)
    for colour in COLOURS:
        connection = made(address, colour)
        assert (connection.host, connection.port, connection.db) == ("h", 7, 3)
        assert (connection.username, connection.password, connection.client_name) == ("me", SECRET, "web")
        assert connection.encoder.decode_responses is False
        assert connection.protocol == 2
        assert connection.retry.get_retries() == 0
    assert client.connection_pool.connection_kwargs["decode_responses"] is True


@pytest.mark.parametrize("client_class", [redis.Redis, redis_async.Redis])
def test_each_kind_of_client_in_both_colours(client_class: Any) -> None:
    plain = resolve(client=client_class.from_url("redis://h:7/1"))
    tls = resolve(client=client_class(host="h", ssl=True, ssl_ca_certs="/ca", ssl_min_version=ssl.TLSVersion.TLSv1_3))
    unix = resolve(client=client_class(unix_socket_path="/s", db=2))
    assert (plain.kind, plain.display) == ("tcp", "redis://h:7/1")
    assert (tls.kind, tls.display) == ("tls", "rediss://h:6379/0")
    assert (unix.kind, unix.display) == ("unix", "unix:///s?db=2")
    for colour in COLOURS:
        assert made(tls, colour).ca_certs == "/ca"
        assert made(unix, colour).path == "/s"
        assert made(plain, colour).db == 1


@pytest.mark.parametrize("client_class", [fakeredis.FakeRedis, fakeredis.FakeAsyncRedis])
@pytest.mark.parametrize("shared", [{}, {"host": "a-name", "port": 7}, {"server": fakeredis.FakeServer()}])
async def test_a_fake_client_shares_its_server_with_us(client_class: Any, shared: dict[str, Any]) -> None:
    client = client_class(decode_responses=True, **shared)
    written = client.set("k", "v")
    if client_class is fakeredis.FakeAsyncRedis:
        await written
    for colour in COLOURS:
        assert await run(resolve(client=client), colour, ("GET", "k")) == [b"v"]
    closed = client.close() if client_class is fakeredis.FakeRedis else client.aclose()
    if client_class is fakeredis.FakeAsyncRedis:
        await closed


def test_a_credential_provider_is_taken() -> None:
    provider = UsernamePasswordCredentialProvider("me", SECRET)
    address = resolve(client=redis.Redis(credential_provider=provider))
    for colour in COLOURS:
        assert made(address, colour).credential_provider is provider


class OwnConnection(redis.Connection):
    """Some way of connecting that only its author knows."""


@pytest.mark.parametrize(
    ("client", "wanted"),
    [
        ("redis://h", "redis.Redis or redis.asyncio.Redis"),
        (redis.Redis(redis_connect_func=print), "credential_provider"),
        (
            redis.Redis(connection_pool=redis.ConnectionPool(connection_class=OwnConnection)),
            "connection class of redis-py",
        ),
        (SENTINEL([("h", 1)]).slave_for("m"), "master_for"),
    ],
)
def test_a_client_that_cannot_be_repeated_is_refused(client: object, wanted: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        resolve(client=client)
    assert caught.value.argument == "client"
    assert wanted in str(caught.value)


@pytest.mark.parametrize("client_class", [redis.cluster.RedisCluster, redis.asyncio.cluster.RedisCluster])
def test_a_cluster_client_is_refused(client_class: Any) -> None:
    client = client_class.__new__(client_class)  # a real one connects at once
    with pytest.raises(ServerRefused, match="Cluster"):
        resolve(client=client)
    client.__dict__.update(_initialize=False, initialized=False)


def test_ocsp_is_not_dropped_in_silence() -> None:
    address = resolve(client=redis.Redis(ssl=True, ssl_validate_ocsp=True))
    assert made(address, "sync").ssl_validate_ocsp is True
    with pytest.raises(InvalidArgument, match="OCSP"):
        made(address, "async")


# --- Sentinel -------------------------------------------------------------------------------------------------------


class FakeSentinel(socketserver.ThreadingTCPServer):
    """Answers SENTINEL MASTER with its own address, and ROLE and GET as that master."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.flags = "master"
        self.role = "master"
        self.others = 2
        self.port = int(self.server_address[1])


def _bulks(*words: str) -> bytes:
    return f"*{len(words)}\r\n".encode() + b"".join(f"${len(word)}\r\n{word}\r\n".encode() for word in words)


class _Handler(socketserver.StreamRequestHandler):
    server: FakeSentinel

    def handle(self) -> None:
        while head := self.rfile.readline():
            words = []
            for _ in range(int(head[1:])):
                self.rfile.readline()
                words.append(self.rfile.readline().strip().decode())
            self.wfile.write(self.answer(words))

    def answer(self, words: list[str]) -> bytes:
        server = self.server
        match words:
            case ["SENTINEL", "MASTER", "orders"]:
                where = ("name", "orders", "ip", "127.0.0.1", "port", str(server.port))
                return _bulks(*where, "flags", server.flags, "num-other-sentinels", str(server.others))
            case ["SENTINEL", "MASTER", _]:
                return b"-ERR No such master with that name\r\n"
            case ["ROLE"] if server.role == "forbidden":
                return b"-NOPERM this user has no permissions to run the 'role' command\r\n"
            case ["ROLE"]:
                return _bulks(server.role)
            case ["GET", _]:
                return _bulks("value")[4:]
            case _:
                return b"+OK\r\n"


@pytest.fixture
def sentinel() -> Iterator[FakeSentinel]:
    with FakeSentinel() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("colour", COLOURS)
async def test_the_master_is_looked_up_at_the_first_sentinel_that_knows(sentinel: FakeSentinel, colour: Colour) -> None:
    address = resolve(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/orders/2")
    assert await run(address, colour, ("GET", "k")) == [b"value"]
    sentinel.role = "forbidden"
    assert await run(address, colour, ("GET", "k")) == [b"value"]


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    ("service", "changes", "why"),
    [
        ("orders", {"flags": "master,s_down"}, "the master is down"),
        ("orders", {"role": "slave"}, "says it is a replica"),
        ("other", {}, "No such master"),
    ],
)
async def test_no_master_is_a_connection_failure_that_says_why(
    sentinel: FakeSentinel, colour: Colour, service: str, changes: dict[str, str], why: str
) -> None:
    vars(sentinel).update(changes)
    with pytest.raises(redis.ConnectionError, match=why) as caught:
        await run(resolve(f"redis+sentinel://127.0.0.1:{sentinel.port}/{service}"), colour, ("GET", "k"))
    assert failures.is_connection_failure(caught.value)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("module", [redis.sentinel, redis.asyncio.sentinel])
async def test_a_client_of_sentinel(sentinel: FakeSentinel, module: Any, colour: Colour) -> None:
    manager = module.Sentinel([("127.0.0.1", sentinel.port)], min_other_sentinels=1)
    address = resolve(client=manager.master_for("orders", db=2, decode_responses=True))
    assert address.display == f"redis+sentinel://127.0.0.1:{sentinel.port}/orders/2"
    assert await run(address, colour, ("GET", "k")) == [b"value"]
    sentinel.others = 0
    with pytest.raises(redis.ConnectionError, match="too few other Sentinels"):
        await run(address, colour, ("GET", "k"))


def test_a_forced_master_host_is_kept() -> None:
    manager = SENTINEL([("h", 1)], force_master_ip="10.0.0.1")
    master = resolve(client=manager.master_for("m", ssl=True)).master
    assert isinstance(master, sockets.Master)
    assert master.address_in([b"flags", b"master", b"ip", b"1.2.3.4", b"port", b"7"]) == ("10.0.0.1", 7)
