--- Delete one message of a queue.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] session    the caller's, or empty
-- ARGV[3] lane       of the caller: one call at a time
-- ARGV[4] number     of the call on its lane, growing
-- ARGV[5] token      random, the same on a retry
-- ARGV[6] name       of the queue
-- ARGV[7] id         of the entry
-- ARGV[8] force      1: also where a consumer holds it
-- Returns "1" when it went, "0" when it is not there; a list of its owner, the owner's record, ms since it was handed out and
--         delivery count when a consumer holds it, and nothing was done.
local vhost_key, vhost_id, session, lane, number, token, name, id, force =
  KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local lanes = require("lib.lanes")
local answer = lanes.answered(prefix, lane, number, token)
if answer then
  return answer
end
local refusal = require("lib.access").refusal(prefix, name, session)
if refusal then
  return refusal
end
local look = require("lib.walk").new(prefix, name, { state = "all" })
if look.traits.kind == "stream" then
  return require("lib.refuse").reply("NOT_SUPPORTED", "queue", name, "it is a stream: what is in it goes by age or size")
end
local item = require("lib.walk").page(look, id, id, 1)[1]
if not item then
  return "0"
end
if look.traits.trace and (item.state ~= "unacked" or force == "1") then
  require("lib.trace").entries(prefix, name, { id }, "deleted")
end
if item.state == "ready" then
  require("lib.ready").remove(prefix, name, look.traits, item.entry, item.owner ~= nil)
elseif item.state == "waiting" then
  require("lib.departure").leave(prefix, name, item.entry, 1, 1)
  redis.call("ZREM", prefix .. "retries:" .. name, id)
  require("lib.retries").plan(prefix, name)
elseif force ~= "1" then
  local record = redis.call("HGET", prefix .. "consumers", item.owner) or ""
  return { item.owner, record, item.idle_ms, item.count }
else
  redis.call("HDEL", prefix .. "fences", item.owner) -- from here on its acks are checked: that of this message comes too late
  require("lib.departure").leave(prefix, name, item.entry, 1, 1)
end
lanes.keep(prefix, lane, number, token, look.now_ms, "1")
return "1"
