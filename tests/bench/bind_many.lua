--- Bind in bulk, for the benchmark: nothing is checked.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   not looked at
-- ARGV[2] source     exchange
-- ARGV[3..]          per binding: id, arguments, form, as in bind.lua
-- Returns how many were new.
local prefix, source = string.sub(KEYS[1], 1, -6), ARGV[2]
local record = redis.call("HGET", prefix .. "exchanges", source)
local bindings = require("lib.bindings")
local added = 0
for at = 3, #ARGV, 3 do
  added = added + bindings.add(prefix, source, record, ARGV[at], ARGV[at + 1], ARGV[at + 2])
end
return added
