--- Deduplication: `fates` holds, by the publisher's key, until when it is known and what became of the first message; `fading`
-- when each ends. A fate is `<queues reached>`, and where the message waits for its time `@<schedule>` after it.
local clock = require("lib.clock")
local M = {}

--- Each new key takes out so many old ones, so that what is kept never grows beyond what is in its window.
local FADING = 2
--- The reaper takes out so many, for those who publish with keys no more.
local PAGE = 100

local function forget(prefix, now_ms, limit)
  local old = redis.call("ZRANGEBYSCORE", prefix .. "fading", "-inf", clock.text(now_ms), "LIMIT", 0, limit)
  for _, key in ipairs(old) do
    redis.call("HDEL", prefix .. "fates", key)
    redis.call("ZREM", prefix .. "fading", key)
  end
  return #old
end

--- What became of the first message with this key, nil where there was none in its window.
function M.known(prefix, key)
  local until_ms, fate = string.match(redis.call("HGET", prefix .. "fates", key) or "", "^(%d+) (.*)$")
  return until_ms and tonumber(until_ms) > clock.now_ms() and fate or nil
end

--- Keeps what became of a message. Call it after a write.
function M.keep(prefix, key, window_ms, fate)
  local now_ms = clock.now_ms()
  forget(prefix, now_ms, FADING)
  local until_ms = clock.text(now_ms + window_ms)
  redis.call("HSET", prefix .. "fates", key, until_ms .. " " .. fate)
  redis.call("ZADD", prefix .. "fading", until_ms, key)
end

--- Forgets a page of what is over.
function M.sweep(prefix, now_ms)
  return forget(prefix, now_ms, PAGE)
end

return M
