--- When the reaper looks at a queue next, and how it learns of a time that is sooner than what it waits for.
local clock = require("lib.clock")
local M = {}

--- Wakes one of those who wait to run the reaper, when `at_ms` is before the time that the last run announced.
function M.alarm(prefix, at_ms)
  local announced_ms = tonumber(redis.call("HGET", prefix .. "vhost", "alarm") or nil)
  if not announced_ms or at_ms < announced_ms then
    redis.call("HSET", prefix .. "vhost", "alarm", clock.text(at_ms))
    redis.call("XADD", prefix .. "alarm", "NOMKSTREAM", "MAXLEN", 1, "*", "t", "1")
  end
end

--- Wakes one of those who wait, whatever the last run announced: one who goes may have got the token, and not have acted on it.
-- Call it after a write.
function M.rouse(prefix)
  redis.call("HDEL", prefix .. "vhost", "alarm")
  redis.call("XADD", prefix .. "alarm", "NOMKSTREAM", "MAXLEN", 1, "*", "t", "1")
end

--- Sees to it that a queue is visited at `at_ms` or before. Call it after a write: at maxmemory it must not be the first.
function M.plan(prefix, name, at_ms)
  if redis.call("ZADD", prefix .. "due", "LT", "CH", clock.text(at_ms), name) == 1 then
    M.alarm(prefix, at_ms)
  end
end

return M
