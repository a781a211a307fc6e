--- Open, renew or close a session: its deadline in the set of the living. It works when memory is full.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] session    id, random
-- ARGV[3] verb       open, renew or close
-- ARGV[4] ttl_ms     life from now on
-- ARGV[5] budget     entries that close may give back in this call
-- Returns open: 1. renew: 1, or 0 when it was reaped. close: 1 when all is given back, 0 when there is more: call again.
local vhost_key, vhost_id, session, verb, ttl_ms, budget = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local sessions_key = prefix .. "sessions"
-- ZREM is never refused at maxmemory, and after it ZADD is not either; its answer tells a reaped session so.
local known = redis.call("ZREM", sessions_key, session)
local clock = require("lib.clock")
if verb == "close" then
  redis.call("ZADD", sessions_key, 0, session)
  local _, done = require("lib.sessions").reap(prefix, session, budget, "session closed")
  return done and 1 or 0
end
if verb == "renew" and known == 0 then
  return 0
end
redis.call("ZADD", sessions_key, clock.text(clock.now_ms() + ttl_ms), session)
if redis.call("EXISTS", prefix .. "alarm") == 0 then
  redis.call("XGROUP", "CREATE", prefix .. "alarm", "g", "$", "MKSTREAM")
end
return 1
