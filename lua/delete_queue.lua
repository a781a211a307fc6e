--- Delete a queue with its messages and bindings; what is missing is no error.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] session    the caller's, or empty
-- ARGV[3] name       of the queue
-- ARGV[4] if_unused  1: only when it has no consumers
-- ARGV[5] if_empty   1: only when nothing is ready or waits to be tried again (unacked ones do not count); 2: nor unacked
-- ARGV[6] limit      bindings to take away in this call
-- Returns the count of ready messages that went with it, -1 when bindings are left: call again.
local vhost_key, vhost_id, session, name, if_unused, if_empty, limit =
  KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local queues = require("lib.queues")
local queue = queues.read(prefix, name)
if not queue then
  return 0
end
local locked = queues.locked(queue, name, session)
if locked then
  return locked
end
local refuse = require("lib.refuse")
if if_unused == "1" and redis.call("EXISTS", prefix .. "users:" .. name) == 1 then
  return refuse.reply("PRECONDITION_FAILED", "queue", name, "it has consumers; cancel them or leave out if_unused")
end
-- A queue whose stream is gone or broken can still be deleted: that is how one repairs it.
local ready, unacked = 0, 0
if not queues.broken(prefix, name) then
  require("lib.arrivals").refresh(prefix, name)
  ready, unacked = queues.counts(prefix, name)
end
if if_empty ~= "0" then
  local waiting = queues.waiting(prefix, name)
  local held = ready > 0 and ready .. " ready messages" or waiting > 0 and waiting .. " messages that wait to be tried again"
  if held then
    return refuse.reply("PRECONDITION_FAILED", "queue", name, "it holds " .. held .. "; purge it or leave out if_empty")
  end
end
if if_empty == "2" and unacked > 0 then
  return refuse.reply("PRECONDITION_FAILED", "queue", name, "it holds " .. unacked .. " unacked messages")
end
return queues.delete(prefix, name, limit) and ready or -1
