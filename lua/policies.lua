--- The policies of a vhost: read, set, deleted. What follows of them for queues and exchanges is worked out by the client, since
-- their patterns are regular expressions, and written by apply.lua under the number of this state.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] verb       read, set, delete, or applied (all that follows is written)
-- ARGV[3] name       of the policy; for applied the number of the state
-- ARGV[4] record     table: pattern, apply-to, priority, definition
-- Returns the number of this state, that of the state last written out, and name and record of each policy.
local vhost_key, vhost_id, verb, name, record = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local policies_key = string.sub(vhost_key, 1, -6) .. "policies"
if verb == "set" then
  redis.call("HSET", policies_key, name, record)
  redis.call("HINCRBY", vhost_key, "policies", 1)
elseif verb == "delete" and redis.call("HDEL", policies_key, name) == 1 then
  redis.call("HINCRBY", vhost_key, "policies", 1)
elseif verb == "applied" and redis.call("HGET", vhost_key, "policies") == name then
  redis.call("HSET", vhost_key, "applied", name)
end
local state = redis.call("HMGET", vhost_key, "policies", "applied")
return { state[1] or "0", state[2] or "0", redis.call("HGETALL", policies_key) }
