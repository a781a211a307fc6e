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
end

--- What became of the first message with this key, nil where there was none in its window.
function M.known(prefix, key, now_ms)
  local until_ms, fate = string.match(redis.call("HGET", prefix .. "fates", key) or "", "^(%d+) (.*)$")
  return until_ms and tonumber(until_ms) > now_ms and fate or nil
end

--- Keeps what became of a message. It begins with writes that maxmemory refuses: it may be the first of a publish.
function M.keep(prefix, key, window_ms, fate, now_ms)
  local until_ms = clock.text(now_ms + window_ms)
  redis.call("HSET", prefix .. "fates", key, until_ms .. " " .. fate)
  redis.call("ZADD", prefix .. "fading", until_ms, key)
  forget(prefix, now_ms, FADING)
end

--- A message that waited was cancelled: its key is free again, unless another one has it by now.
function M.free(prefix, key, schedule_id)
  local text = redis.call("HGET", prefix .. "fates", key) or ""
  if string.match(text, "@(.*)$") == schedule_id then
    redis.call("HDEL", prefix .. "fates", key)
    redis.call("ZREM", prefix .. "fading", key)
  end
end

--- Forgets a page of what is over.
function M.sweep(prefix, now_ms)
  forget(prefix, now_ms, PAGE)
end

return M
