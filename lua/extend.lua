--- Start the ack timeout of deliveries anew.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] consumer   its name
-- ARGV[3..]          per queue: name, count, ids
-- Returns the stale ones as queue, id, queue, id, …
local vhost_key, vhost_id, consumer = KEYS[1], ARGV[1], ARGV[2]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local ownership = require("lib.ownership")
local stale, at = {}, 3

local function extend(name, stream_key, first, last)
  local own, others, absent = ownership.split(stream_key, consumer, ARGV, first, last)
  if #own > 0 then
    own[#own + 1] = "JUSTID"
    redis.call("XCLAIM", stream_key, "g", consumer, 0, unpack(own))
  end
  for _, list in ipairs({ others, absent }) do
    for _, id in ipairs(list) do
      stale[#stale + 1], stale[#stale + 2] = name, id
    end
  end
end

while at <= #ARGV do
  local name, count = ARGV[at], tonumber(ARGV[at + 1])
  local stream_key = prefix .. "stream:" .. name
  if redis.call("HEXISTS", prefix .. "queues", name) == 1 then
    extend(name, stream_key, at + 2, at + 1 + count)
  end
  at = at + 2 + count
end
return stale
