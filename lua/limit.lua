--- The limit of a vhost: set, taken away, read.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] verb       set, delete or read
-- ARGV[3] limit      messages in all queues together
-- Returns the limit (-1: none), how many messages there are, as counted within the last half second, and whether the count goes
-- on: 1 where that is not all yet, so call it again.
local vhost_key, vhost_id, verb, limit = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
redis.call("HDEL", vhost_key, "") -- never refused: who looks at it, or sets it, may do so because memory is full
if verb == "set" then
  redis.call("HSET", vhost_key, "limit", limit)
elseif verb == "delete" then
  redis.call("HDEL", vhost_key, "limit")
  redis.call("UNLINK", prefix .. "quota")
  return { -1, 0, 0 }
end
local total, more = require("lib.quota").total(prefix)
local found = redis.call("HGET", vhost_key, "limit")
if not (found or more) then
  redis.call("UNLINK", prefix .. "quota")
end
return { found and tonumber(found) or -1, total, more and 1 or 0 }
