"""What a Redis command in a transaction comes to is what redis-py's own client returns for it, command by command."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from rexchange import Broker
from tests.chaos.servers import KINDS, Server, running


def call(method: str, *args: Any, **options: Any) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    return method, args, options


# In order: each finds what those before it left.
COMMANDS = [
    # strings, numbers, bits
    call("set", "s", "ü"),
    call("set", "s2", b"\x00\xff", ex=100),
    call("set", "s", "other", nx=True),
    call("set", "s", "new", get=True),
    call("get", "s"),
    call("get", "none"),
    call("mset", {"a": 1, "b": 2.5}),
    call("mget", "a", "none", "b"),
    call("setex", "t", 100, "v"),
    call("setnx", "t", "v"),
    call("getset", "t", "w"),
    call("getdel", "t"),
    call("getex", "s2", persist=True),
    call("append", "s", "er"),
    call("strlen", "s"),
    call("getrange", "s", 0, 2),
    call("setrange", "s", 1, "E"),
    call("incr", "n"),
    call("incrby", "n", 41),
    call("decr", "n"),
    call("incrbyfloat", "f", 1.5),
    call("setbit", "bits", 7, 1),
    call("getbit", "bits", 7),
    call("bitcount", "bits"),
    call("bitpos", "bits", 1),
    call("lcs", "a", "b", idx=True),
    # keys
    call("exists", "a", "none"),
    call("expire", "a", 1000),
    call("persist", "a"),
    call("ttl", "b"),
    call("pttl", "none"),
    call("type", "a"),
    call("rename", "b", "b2"),
    call("renamenx", "b2", "a"),
    call("copy", "a", "a2"),
    call("touch", "a", "a2"),
    call("unlink", "a2"),
    call("delete", "none"),
    call("keys", "b2*"),
    call("dbsize"),
    call("scan", 0, match="b2"),
    # hashes
    call("hset", "h", "f", "v"),
    call("hset", "h", mapping={"g": 1, "i": b"\xff"}),
    call("hget", "h", "f"),
    call("hget", "h", "none"),
    call("hmget", "h", ["f", "none"]),
    call("hgetall", "h"),
    call("hgetall", "none"),
    call("hincrby", "h", "n", 3),
    call("hincrbyfloat", "h", "x", 0.5),
    call("hexists", "h", "f"),
    call("hkeys", "h"),
    call("hvals", "h"),
    call("hlen", "h"),
    call("hsetnx", "h", "f", "w"),
    call("hstrlen", "h", "f"),
    call("hrandfield", "h", 9, withvalues=True),
    call("hscan", "h"),
    call("hdel", "h", "f"),
    # lists
    call("rpush", "l", "a", "b", "c", "a"),
    call("lpush", "l", "z"),
    call("lrange", "l", 0, -1),
    call("lindex", "l", 9),
    call("linsert", "l", "before", "b", "x"),
    call("lpos", "l", "a", count=0),
    call("lrem", "l", 1, "a"),
    call("lset", "l", 0, "y"),
    call("ltrim", "l", 0, 3),
    call("lmove", "l", "l2", "LEFT", "RIGHT"),
    call("lmpop", 2, "none", "l", direction="LEFT", count=2),
    call("lpop", "l"),
    call("rpop", "none"),
    call("llen", "l2"),
    call("sort", "l2", alpha=True),
    # sets
    call("sadd", "set", "a", "b", "c"),
    call("sadd", "set2", "b"),
    call("smembers", "set"),
    call("sismember", "set", "a"),
    call("smismember", "set", ["a", "none"]),
    call("sinter", "set", "set2"),
    call("sintercard", 2, ["set", "set2"]),
    call("sunionstore", "set3", "set", "set2"),
    call("sdiff", "set", "set2"),
    call("scard", "set"),
    call("smove", "set", "set2", "a"),
    call("srem", "set", "c"),
    call("spop", "set"),
    call("srandmember", "set"),
    call("sscan", "set2"),
    # sorted sets
    call("zadd", "z", {"a": 1, "b": 2.5, "c": float("inf")}),
    call("zadd", "z", {"a": 2}, incr=True),
    call("zadd", "z", {"a": 2}, ch=True),
    call("zscore", "z", "b"),
    call("zscore", "z", "none"),
    call("zmscore", "z", ["a", "none"]),
    call("zrange", "z", 0, -1),
    call("zrange", "z", 0, -1, withscores=True),
    call("zrevrange", "z", 0, 1, withscores=True),
    call("zrangebyscore", "z", "-inf", 3, withscores=True, score_cast_func=int),
    call("zrank", "z", "b"),
    call("zrevrank", "z", "none"),
    call("zincrby", "z", 2, "a"),
    call("zcount", "z", 0, 3),
    call("zcard", "z"),
    call("zinter", ["z", "set2"], withscores=True),
    call("zunionstore", "z2", ["z", "set2"]),
    call("zpopmin", "z"),
    call("zmpop", 1, ["z"], max=True),
    call("zrem", "z", "none"),
    call("zscan", "z2"),
    # streams
    call("xadd", "x", {"f": "v"}, id="1-1"),
    call("xadd", "x", {"f": "w", "g": b"\xff"}, id="2-1"),
    call("xlen", "x"),
    call("xrange", "x"),
    call("xrevrange", "x", count=1),
    call("xread", {"x": "0"}),
    call("xread", {"x": "9"}),
    call("xgroup_create", "x", "g", "0"),
    call("xreadgroup", "g", "c", {"x": ">"}, count=1),
    call("xpending", "x", "g"),
    call("xack", "x", "g", "1-1"),
    call("xinfo_stream", "x"),
    call("xinfo_groups", "x"),
    call("xclaim", "x", "g", "c", 0, ["2-1"]),
    call("xdel", "x", "1-1"),
    call("xtrim", "x", 0, approximate=False),
    # more
    call("pfadd", "hll", "a", "b"),
    call("pfcount", "hll"),
    call("geoadd", "geo", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")),
    call("geodist", "geo", "Palermo", "Catania", unit="km"),
    call("geopos", "geo", "Palermo", "none"),
    call("geohash", "geo", "Palermo"),
    call("geosearch", "geo", member="Palermo", radius=200, unit="km", withdist=True, withcoord=True),
    call("publish", "channel", "nobody"),
    call("ping"),
    call("echo", "words"),
    call("memory_usage", "none"),
    call("execute_command", "HGETALL", "h"),
    call("execute_command", "GET", "none"),
    call("execute_command", "TIME"),
]


@pytest.fixture(params=KINDS)
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param, aof=False) as server:
        yield server


def alike(value: Any) -> Any:
    """Return a reply without what time or chance changes."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: alike(each) for key, each in value.items()}
    return [alike(each) for each in value] if isinstance(value, list | tuple) else value


@pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")
def test_each_reply_is_what_the_client_returns(own_server: Server) -> None:
    with Broker(own_server.url) as broker, redis.Redis(port=own_server.port, db=1, protocol=2) as client:
        with broker.transaction() as tx:
            recorded = [getattr(tx.redis, method)(*args, **options) for method, args, options in COMMANDS]
        for (method, args, options), result, again in zip(COMMANDS, recorded, tx.results, strict=True):
            wanted = getattr(client, method)(*args, **options)
            assert type(result.value) is type(wanted), method
            if method not in ("scan", "dbsize", "hrandfield") and args != ("TIME",):
                assert alike(result.value) == alike(wanted), method
            assert result.value == again


def test_a_builder_of_redis_py_is_recorded_when_it_is_executed(own_server: Server) -> None:
    with Broker(own_server.url) as broker:
        with broker.transaction() as tx:
            made = tx.redis.bitfield("bits").set("u8", 0, 5).get("u8", 0).execute()
        assert made.value == [0, 5]


def test_numbers_are_whole_up_to_2_to_the_53(own_server: Server) -> None:
    """Lua has doubles; what is larger loses its last digits on the way back, in Redis it is right."""
    with Broker(own_server.url) as broker:
        with broker.transaction() as tx:
            exact = tx.redis.incrby("n", 2**53)
            tx.redis.incrby("n", 1)
            text = tx.redis.get("n")
        assert exact.value == 2**53
        assert text.value == b"%d" % (2**53 + 1)


def test_the_methods_are_those_of_redis_py() -> None:
    with Broker("memory://methods") as broker:
        redis_commands = broker.transaction().redis
        assert {"set", "hgetall", "zadd", "execute_command"} <= set(dir(redis_commands))
        assert redis_commands.set.__doc__ == redis.Redis.set.__doc__
        with pytest.raises(AttributeError, match="execute_command"):
            _ = redis_commands.pipeline
