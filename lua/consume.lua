--- Register a consumer over queues; it may take over from an older name of itself after a reconnect.
-- KEYS[1] vhost_key   hash
-- ARGV[1] vhost_id    what open_vhost returned
-- ARGV[2] session     that owns it
-- ARGV[3] consumer    its new name, never used before
-- ARGV[4] old         its name before, or empty
-- ARGV[5] timeout_ms  ack timeout of this consumer, 0 when the queue's or the default holds
-- ARGV[6] default_ms  ack timeout where neither sets one
-- ARGV[7] kind        plain, managed (blocks on wake streams alone) or get (no consumer for RabbitMQ's counts)
-- ARGV[8] info        table for listings
-- ARGV[9..]           per queue: name, count of ids that its user was shown and has not settled, those ids
-- Returns the incarnation of each queue; for each queue an array of those shown ids that are still its own; its ack timeout, ms.
local vhost_key, vhost_id, session, consumer, old, timeout_ms, default_ms, kind, info =
  KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], ARGV[8]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local queues = require("lib.queues")
local pack = require("lib.pack")
if not redis.call("ZSCORE", prefix .. "sessions", session) then
  return require("lib.refuse").reply("SESSION_GONE", "session", session, "it was reaped")
end
local wanted, packed, at, limit_ms = {}, {}, 9, timeout_ms
while at <= #ARGV do
  local name, count, seen = ARGV[at], tonumber(ARGV[at + 1]), {}
  local queue = queues.read(prefix, name)
  if not queue then
    return queues.missing(prefix, name)
  end
  local refusal = queues.locked(queue, name, session) or queues.broken(prefix, name, queue)
  if refusal then
    return type(refusal) == "string" and redis.error_reply(refusal) or refusal
  end
  for i = at + 2, at + 1 + count do
    seen[ARGV[i]] = true
  end
  if timeout_ms == 0 then
    -- Over several queues the shortest of their timeouts holds, so that no queue's promise is broken.
    local own_ms = queue.timeout_ms > 0 and queue.timeout_ms or default_ms
    limit_ms = limit_ms == 0 and own_ms or math.min(limit_ms, own_ms)
  end
  wanted[#wanted + 1] = { name = name, incarnation = queue.incarnation, seen = seen }
  packed[#packed + 1] = "q" .. pack.net(name)
  at = at + 2 + count
end

local clock = require("lib.clock")
-- Sent again since the reply was lost: the first try moved all from the old name to the new one.
local repeated = redis.call("HEXISTS", prefix .. "consumers", consumer) == 1
local queue_list = table.concat(packed)
redis.call("HDEL", prefix .. "fences", consumer)
redis.call(
  "HSET",
  prefix .. "consumers",
  consumer,
  clock.text(limit_ms) .. ";" .. (kind == "managed" and 1 or 0) .. ";" .. pack.net(queue_list) .. pack.net(session) .. info
)
if kind ~= "get" then -- which is not among the queue's users, so the queue's deletion would not take its fence
  redis.call("HSET", prefix .. "fences", consumer, 1)
end
redis.call("SADD", prefix .. "session:" .. session, "c" .. consumer)
for _, queue in ipairs(wanted) do
  local wake_key, users_key = prefix .. "wake:" .. queue.name, prefix .. "users:" .. queue.name
  if kind ~= "get" then
    if redis.call("EXISTS", wake_key) == 0 then
      redis.call("XGROUP", "CREATE", wake_key, "g", "0", "MKSTREAM")
    end
    local is_new = redis.call("SADD", users_key, consumer) == 1
    if is_new and kind == "managed" then
      redis.call("HINCRBY", prefix .. "managed", queue.name, 1)
    end
  end
  -- Asked first, to keep a visit that is due earlier.
  local visit_ms = clock.now_ms() + limit_ms
  local due_ms = tonumber(redis.call("ZSCORE", prefix .. "due", queue.name) or visit_ms + 1)
  if visit_ms < due_ms then
    redis.call("ZADD", prefix .. "due", clock.text(visit_ms), queue.name)
  end
end

local incarnations, kept = {}, {}
local consumers = require("lib.consumers")
local before = old ~= "" and consumers.read(prefix, old)
for i, queue in ipairs(wanted) do
  local inherited, rows = {}, 1000
  while before and rows == 1000 do
    rows = consumers.release(prefix, old, queue.name, 1000, { seen = queue.seen, heir = consumer, inherited = inherited })
  end
  for id in pairs(repeated and queue.seen or {}) do
    local row = redis.call("XPENDING", prefix .. "stream:" .. queue.name, "g", id, id, 1, consumer)[1]
    inherited[id] = row and true
  end
  incarnations[i], kept[i] = queue.incarnation, {}
  for id in pairs(inherited) do
    kept[i][#kept[i] + 1] = id
  end
end
if before then
  consumers.forget(prefix, old, before)
end
for _, queue in ipairs(wanted) do
  local ready = queues.counts(prefix, queue.name)
  local given_back = tonumber(redis.call("HGET", prefix .. "returned", queue.name) or 0)
  if given_back > 0 or kind == "managed" and ready > 0 then
    require("lib.returns").post(prefix, queue.name)
  end
end
return { incarnations, kept, limit_ms }
