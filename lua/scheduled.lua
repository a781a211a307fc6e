--- Messages that wait for their time: a page of them, or one cancelled.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] verb       list or cancel
-- ARGV[3] from       cancel: the number. list: when the last one of the page before is due (ms), and its number, or empty
-- ARGV[4] number     cancel: 1 where it was sent before and the reply was lost
-- ARGV[5] limit      messages in this page
-- Returns number, due time (ms) and parcel of each; cancel of one that is gone: nothing, and only the number when sent again.
local vhost_key, vhost_id, verb, from, number, limit = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local later_key = prefix .. "later"
if verb == "cancel" then
  local due_ms = redis.call("ZSCORE", later_key, from)
  local parcel = due_ms and require("lib.later").cancel(prefix, from, vhost_id)
  return parcel and { from, due_ms, parcel } or number == "1" and { from } or {}
end
local start = 0
if from ~= "" then
  -- After the one that was the last; where it is gone meanwhile, at the first that is due when it was.
  local rank = redis.call("ZRANK", later_key, number)
  start = rank and rank + 1 or redis.call("ZCOUNT", later_key, "-inf", "(" .. from)
end
local found, reply, bytes = redis.call("ZRANGE", later_key, start, start + limit - 1, "WITHSCORES"), {}, 0
for i = 1, #found, 2 do
  local parcel = redis.call("HGET", prefix .. "parcels", found[i])
  reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = found[i], found[i + 1], parcel or ""
  bytes = bytes + (parcel and #parcel or 0)
  if bytes > 1048576 then
    break
  end
end
return reply
