--- The end of a session: everything that it owned is given back or deleted, at most `budget` entries a call.
local consumers = require("lib.consumers")
local queues = require("lib.queues")
local M = {}

--- Rows of one XPENDING page: about 0.1 ms of the server's time (docs/architecture.md, Sessions and the reaper).
local PAGE = 100

local function drain(prefix, name, consumer, budget, reason)
  -- First: a late ack from a process that was only asleep must be checked from here on.
  redis.call("HDEL", prefix .. "fences", name)
  local given = 0
  for _, queue_name in ipairs(consumer.queues) do
    local queue = queues.read(prefix, queue_name)
    local rows = queue and consumers.takes_along(prefix, name, queue_name, queue) and 0 or PAGE
    while queue and rows == PAGE do
      if given >= budget then
        return given, false
      end
      rows = consumers.release(prefix, name, queue_name, PAGE, { reason = reason })
      given = given + rows
    end
  end
  return given, true
end

--- How many entries were given back, and whether the session is gone for good. `reason`: why it ends, for a trace.
function M.reap(prefix, session, budget, reason)
  local session_key, given = prefix .. "session:" .. session, 0
  for _, member in ipairs(redis.call("SMEMBERS", session_key)) do
    local kind, name = string.sub(member, 1, 1), string.sub(member, 2)
    if kind == "q" then
      queues.delete(prefix, name)
    else
      local consumer = consumers.read(prefix, name)
      if consumer then
        local count, done = drain(prefix, name, consumer, budget - given, reason)
        given = given + count
        if not done then
          return given, false
        end
        consumers.forget(prefix, name, consumer)
      end
    end
    redis.call("SREM", session_key, member)
  end
  redis.call("ZREM", prefix .. "sessions", session)
  if redis.call("EXISTS", prefix .. "alarm") == 1 then
    redis.call("XGROUP", "DELCONSUMER", prefix .. "alarm", "g", session)
    require("lib.due").rouse(prefix)
  end
  return given, true
end

return M
