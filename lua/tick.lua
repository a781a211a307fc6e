--- One step of the reaper: dead sessions, then queues that are due (deliveries overdue, messages expired), at most so many
-- entries; then the next deadline.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] ttl_ms     life of a session from its renewal
-- ARGV[3] budget     entries to handle in this call
-- Returns ms until the next deadline (0: call again now; -1: none), sessions reaped, queues visited, entries given back, messages
--         that died, delayed messages routed, lanes swept.
local vhost_key, vhost_id, ttl_ms, budget = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local clock = require("lib.clock")
local now_ms = clock.now_ms()
local sessions_key, due_key = prefix .. "sessions", prefix .. "due"
local reaped, visited, given, died = 0, 0, 0, 0

-- The first write is one that maxmemory never refuses; the rest of the call then runs whatever the memory.
redis.call("HDEL", vhost_key, "")
local head = redis.call("HMGET", vhost_key, "tick", "untrace")
local last_ms = tonumber(head[1] or 0)
if now_ms - last_ms > ttl_ms / 2 then
  -- Redis was away, or all of us were: nobody could renew, so nobody is dead for it.
  for _, session in ipairs(redis.call("ZRANGE", sessions_key, 0, -1)) do
    -- GT: our caller's limit may be shorter than that session's own.
    redis.call("ZADD", sessions_key, "GT", clock.text(now_ms + ttl_ms), session)
  end
end
redis.call("HSET", vhost_key, "tick", clock.text(now_ms))

local used = 0
while used < budget do
  local session = redis.call("ZRANGEBYSCORE", sessions_key, "-inf", clock.text(now_ms), "LIMIT", 0, 1)[1]
  if not session then
    break
  end
  local count, done = require("lib.sessions").reap(prefix, session, budget - used, "consumer died")
  given = given + count
  used = used + count + 10
  if not done then
    break
  end
  reaped = reaped + 1
end
while used < budget do
  local name = redis.call("ZRANGEBYSCORE", due_key, "-inf", clock.text(now_ms), "LIMIT", 0, 1)[1]
  if not name then
    break
  end
  local count, dead = require("lib.visits").visit(prefix, name, now_ms)
  visited = visited + 1
  given = given + count
  died = died + dead
  used = used + count + dead + 10
end
if redis.call("EXISTS", prefix .. "retrying") == 1 then
  given = given + require("lib.retries").release(prefix, now_ms, math.max(budget - used, 10))
end
local routed = require("lib.later").release(prefix, now_ms, math.max(budget - used, 10))
if redis.call("EXISTS", prefix .. "fading") == 1 then
  require("lib.fates").sweep(prefix, now_ms)
end
local digging = redis.call("EXISTS", prefix .. "graves") == 1 and require("lib.graves").dig(prefix)
local swept = require("lib.lanes").sweep(prefix, vhost_key, now_ms)

local next_ms = digging and 0 or -1
if head[2] then
  local untrace_ms = require("lib.traces").settle(prefix, now_ms)
  next_ms = digging and 0 or untrace_ms and math.max(0, untrace_ms - now_ms) or -1
end
for _, key in ipairs({ sessions_key, due_key, prefix .. "retrying", prefix .. "later" }) do
  local first = redis.call("ZRANGE", key, 0, 0, "WITHSCORES")
  if first[2] then
    local wait_ms = math.max(0, tonumber(first[2]) - now_ms)
    next_ms = next_ms == -1 and wait_ms or math.min(next_ms, wait_ms)
  end
end
-- Whoever plans something sooner than this raises the alarm (lib/due.lua).
redis.call("HSET", vhost_key, "alarm", next_ms == -1 and "never" or clock.text(now_ms + next_ms))
return { next_ms, reaped, visited, given, died, routed, swept }
