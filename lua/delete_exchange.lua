--- Delete an exchange with its bindings; what is missing is no error.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] name       of the exchange
-- ARGV[3] if_unused  1: only when nothing is bound to it as source
-- ARGV[4] limit      bindings to take away in this call
-- Returns 1 when it was there, 0 when not, -1 when bindings are left: call again.
local vhost_key, vhost_id, name, if_unused, limit = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
if redis.call("HEXISTS", prefix .. "exchanges", name) == 0 then
  return 0
end
if if_unused == "1" and redis.call("EXISTS", prefix .. "bindings:" .. name) == 1 then
  return require("lib.refuse").reply(
    "PRECONDITION_FAILED",
    "exchange",
    name,
    "it is in use: bindings start at it; unbind them or leave out if_unused"
  )
end
return require("lib.exchanges").delete(prefix, name, limit) and 1 or -1
