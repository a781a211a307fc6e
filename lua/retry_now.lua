--- Send messages that wait to be tried again at once: they are ready, in their places.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] session    the caller's, or empty
-- ARGV[3] name       of the queue
-- ARGV[4] limit      without ids: so many of those that are due next
-- ARGV[5..]          ids of entries
-- Returns how many were sent, and how many of the queue still wait.
local vhost_key, vhost_id, session, name, limit = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local refusal = require("lib.access").refusal(prefix, name, session)
if refusal then
  return refusal
end
-- The first write is one that maxmemory never refuses.
redis.call("HDEL", vhost_key, "")
local ids = { unpack(ARGV, 5) }
if #ids == 0 then
  ids = redis.call("ZRANGE", prefix .. "retries:" .. name, 0, limit - 1)
end
local retries = require("lib.retries")
local sent = retries.give_back(prefix, name, ids)
retries.plan(prefix, name)
return { sent, require("lib.queues").waiting(prefix, name) }
