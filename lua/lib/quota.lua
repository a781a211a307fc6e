--- The limit of a vhost: so many messages in all its queues and on the way. Counting them at each publish would cost what nobody
-- wants to pay, so it is done anew when the last count is old, by those who publish, and kept in `quota`:
-- `total`, `counted` (ms), and of a count that goes on over several calls `cursor` and `partial`.
local clock = require("lib.clock")
local M = {}

local OLD_MS = 500
--- So many queues are counted in one call: about 0.3 ms.
local PAGE = 500

--- Counts on; whether there is more to count.
local function count(prefix, quota_key, now_ms)
  local known = redis.call("HMGET", quota_key, "cursor", "partial")
  local page = redis.call("HSCAN", prefix .. "queues", known[1] or "0", "COUNT", PAGE)
  local partial = tonumber(known[2] or 0)
  for i = 1, #page[2], 2 do
    local key = prefix .. "stream:" .. page[2][i]
    partial = partial + (redis.call("TYPE", key)["ok"] == "stream" and redis.call("XLEN", key) or 0)
  end
  -- HSET first: after a write that maxmemory never refuses no publish would be refused any more.
  if page[1] ~= "0" then
    redis.call("HSET", quota_key, "cursor", page[1], "partial", clock.text(partial))
    return true
  end
  partial = partial + redis.call("ZCARD", prefix .. "later")
  redis.call("HSET", quota_key, "total", clock.text(partial), "counted", clock.text(now_ms))
  redis.call("HDEL", quota_key, "cursor", "partial")
  return false
end

--- How many messages there are, as far as is known, and whether the count of them goes on.
function M.total(prefix)
  local quota_key, now_ms, more = prefix .. "quota", clock.now_ms(), false
  if now_ms - tonumber(redis.call("HGET", quota_key, "counted") or 0) >= OLD_MS then
    more = count(prefix, quota_key, now_ms)
  end
  return tonumber(redis.call("HGET", quota_key, "total") or 0), more
end

--- What publish answers where there is no room for so many more; nil where there is.
function M.refusal(prefix, limit, more)
  local total = M.total(prefix)
  if more > 0 and total + more > tonumber(limit) then
    local hint = string.format("it holds %.0f messages, and its limit is %s: nothing was published", total, limit)
    local text = require("lib.refuse").text("VHOST_FULL", "vhost", string.match(prefix, "^rx:{(.*)}:$"), hint)
    return "-" .. require("lib.pack").net(text)
  end
end

--- So many more come in; they are in the next count.
function M.add(prefix, more)
  redis.call("HINCRBY", prefix .. "quota", "total", more)
end

return M
