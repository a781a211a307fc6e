--- Declare a queue, or say how it is declared and what it holds.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] session    the caller's, or empty when it has none yet
-- ARGV[3] name       of the queue
-- ARGV[4] passive    1: only look
-- ARGV[5] exclusive  1: owned by the session, gone with it
-- ARGV[6] head       durable, auto-delete
-- ARGV[7] tail       timeout, owner and arguments
-- Returns 1 when it was made now else 0, the record, ready count, unacked count, consumer count.
local vhost_key, vhost_id, session, name, passive, exclusive, head, tail =
  KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local queues = require("lib.queues")
local refuse = require("lib.refuse")
local queue = queues.read(prefix, name)
if queue then
  local locked = queues.locked(queue, name, session)
  if locked then
    return locked
  end
  local broken = queues.broken(prefix, name, queue)
  if broken then
    return redis.error_reply(broken)
  end
  local ready, unacked = queues.counts(prefix, name)
  return { 0, queue.record, ready, unacked, redis.call("SCARD", prefix .. "users:" .. name) }
end
if passive == "1" then
  return refuse.reply("NOT_FOUND", "queue", name, "no such queue")
end
if exclusive == "1" and not redis.call("ZSCORE", prefix .. "sessions", session) then
  return refuse.reply("SESSION_GONE", "session", session, "it was reaped")
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
return { 1, record, 0, 0, 0 }
