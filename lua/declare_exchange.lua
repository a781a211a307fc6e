--- Declare an exchange, or say how it is declared.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] name       of the exchange
-- ARGV[3] passive    1: only look
-- ARGV[4] head       type and flags
-- ARGV[5] tail       alternate and arguments
-- ARGV[6] state      number of the policies that the alternate was worked out from
-- Returns 1 when it was made now else 0, and the record; NOT_FOUND when passive and missing.
local vhost_key, vhost_id, name, passive, head, tail, state = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local record = redis.call("HGET", prefix .. "exchanges", name)
if record then
  return { 0, record }
end
if passive == "1" then
  return require("lib.refuse").reply("NOT_FOUND", "exchange", name, "no such exchange")
end
local changed = require("lib.policy").changed(vhost_key, state)
if changed then
  return changed
end
local generation = string.format("%.0f", redis.call("HINCRBY", vhost_key, "next", 1))
record = head .. ";" .. generation .. ";" .. tail
redis.call("HSET", prefix .. "exchanges", name, record)
return { 1, record }
