--- Counting the bytes of a queue that gets a limit of bytes while it holds messages: page by page, by the reaper.
-- `measures` holds `<last id counted> <last id to count>`; `-` while consumers still read natively, which nobody counts.
local clock = require("lib.clock")
local M = {}

local PAGE = 100

--- Starts over. Call it after a write.
function M.start(prefix, queue)
  redis.call("HSET", prefix .. "bytes", queue, 0)
  redis.call("HSET", prefix .. "measures", queue, "0-0 " .. require("lib.queues").last(prefix, queue))
  require("lib.due").plan(prefix, queue, clock.now_ms())
end

local function unacked(stream_key, first, last)
  local held = {}
  for _, row in ipairs(redis.call("XPENDING", stream_key, "g", first, last, PAGE)) do
    held[row[1]] = row[2] ~= "-"
  end
  return held
end

--- Counts a page; whether there is more.
function M.page(prefix, queue)
  local from, bound = string.match(redis.call("HGET", prefix .. "measures", queue) or "", "^(%S+) (%S+)$")
  if not bound then
    return false
  end
  local stream_key, bytes = prefix .. "stream:" .. queue, 0
  local entries = redis.call("XRANGE", stream_key, "(" .. from, bound, "COUNT", PAGE)
  if #entries > 0 then
    local held = unacked(stream_key, entries[1][1], entries[#entries][1])
    for _, entry in ipairs(entries) do
      bytes = bytes + (held[entry[1]] and 0 or require("lib.ready").size(entry[2]))
    end
    redis.call("HINCRBY", prefix .. "bytes", queue, bytes)
  end
  if #entries < PAGE then
    redis.call("HDEL", prefix .. "measures", queue)
    return false
  end
  redis.call("HSET", prefix .. "measures", queue, entries[PAGE][1] .. " " .. bound)
  return true
end

return M
