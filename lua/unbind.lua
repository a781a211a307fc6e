--- Take a binding away; what is missing is no error.
-- KEYS[1] vhost_key    hash
-- ARGV[1] vhost_id     what open_vhost returned
-- ARGV[2] session      the caller's, or empty
-- ARGV[3] source       exchange
-- ARGV[4] kind         of the destination: q or x
-- ARGV[5] destination  its name
-- ARGV[6] id           of the binding
-- Returns 1 when it was there, else 0.
local vhost_key, vhost_id, session, source, kind, destination, id = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
if kind == "q" and redis.call("HEXISTS", prefix .. "bindings:" .. source, id) == 1 then -- else there is nothing to protect
  local queues = require("lib.queues")
  local queue = queues.read(prefix, destination)
  local locked = queue and queues.locked(queue, destination, session)
  if locked then
    return locked
  end
end
return require("lib.bindings").remove(prefix, source, id)
