--- A page of the messages of a queue that wait to be tried again, the soonest first; or whether it has a retry policy.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] name       of the queue
-- ARGV[3] from       so many are passed over; -1: only ask for the policy
-- ARGV[4] limit      at most so many
-- Returns for each: its id, when it is due (ms), how often it was handed out. Of the policy: 1 where there is one, else 0.
local vhost_key, vhost_id, name, from, limit = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local queues = require("lib.queues")
local queue = queues.read(prefix, name)
if not queue then
  return queues.missing(prefix, name)
end
local broken = queues.broken(prefix, name, queue)
if broken then
  return redis.error_reply(broken)
elseif from < 0 then
  return require("lib.traits").read(prefix, name).retry and 1 or 0
end
local reply = {}
local found = redis.call("ZRANGE", prefix .. "retries:" .. name, from, from + limit - 1, "WITHSCORES")
for i = 1, #found, 2 do
  local row = redis.call("XPENDING", prefix .. "stream:" .. name, "g", found[i], found[i], 1, "~")[1]
  reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = found[i], tonumber(found[i + 1]), row and row[4] or 0
end
return reply
