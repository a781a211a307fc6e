--- Declare a queue, or say how it is declared and what it holds.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] session    the caller's, or empty when it has none yet
-- ARGV[3] name       of the queue
-- ARGV[4] passive    1: only look
-- ARGV[5] exclusive  1: owned by the session, gone with it
-- ARGV[6] head       durable, auto-delete
-- ARGV[7] tail       timeout, owner and arguments
-- ARGV[8] traits     what it is beyond a plain queue, or empty
-- ARGV[9] single     1: one consumer at a time is active
-- ARGV[10] state     number of the policies that the traits were worked out from
-- Returns 1 when it was made now else 0, the record, ready count, unacked count, consumer count.
local vhost_key, vhost_id, session, name, passive, exclusive, head, tail, traits, single, state =
  KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local queues = require("lib.queues")
local refuse = require("lib.refuse")
local queue = queues.read(prefix, name)
if queue then
  -- Anybody may ask whether a requester still waits for its reply (RabbitMQ's direct reply-to).
  local locked = string.sub(name, 1, 22) ~= "amq.rabbitmq.reply-to." and queues.locked(queue, name, session)
  if locked then
    return locked
  end
  local broken = queues.broken(prefix, name, queue)
  if broken then
    return redis.error_reply(broken)
  end
  require("lib.arrivals").refresh(prefix, name)
  local here = require("lib.traits").read(prefix, name)
  if here.expires then
    redis.call("HDEL", vhost_key, "")
    queues.used(prefix, name, here)
  end
  local ready, unacked = queues.counts(prefix, name)
  return { 0, queue.record, ready, unacked, redis.call("ZCARD", prefix .. "users:" .. name) }
end
if passive == "1" then
  return refuse.reply("NOT_FOUND", "queue", name, "no such queue")
end
if exclusive == "1" and not redis.call("ZSCORE", prefix .. "sessions", session) then
  return refuse.reply("SESSION_GONE", "session", session, "it was reaped")
end
local changed = require("lib.policy").changed(vhost_key, state)
if changed then
  return changed
end
local stream_key = prefix .. "stream:" .. name
if redis.call("TYPE", stream_key)["ok"] ~= "none" then
  return refuse.reply("TOPOLOGY_LOST", "queue", name, "the key " .. stream_key .. " is there already and is not ours; delete it")
end
local incarnation = string.format("%.0f", redis.call("HINCRBY", vhost_key, "next", 1))
redis.call("XGROUP", "CREATE", stream_key, "g", "0", "MKSTREAM")
if exclusive == "1" then
  redis.call("SADD", prefix .. "session:" .. session, "q" .. name)
end
local record = head .. ";" .. incarnation .. ";" .. tail
redis.call("HSET", prefix .. "queues", name, record)
if traits ~= "" then
  redis.call("HSET", prefix .. "traits", name, traits)
  local made = require("lib.traits").parse(traits)
  queues.used(prefix, name, made)
  if made.age then
    require("lib.due").plan(prefix, name, require("lib.clock").now_ms())
  end
end
if redis.call("EXISTS", prefix .. "traces") == 1 then
  require("lib.traces").declared(prefix, name)
end
if single == "1" then
  redis.call("HSET", prefix .. "choosy", name, "s")
end
return { 1, record, 0, 0, 0 }
