--- Sweeping the state of producers that are long gone: a page of the hash now and then.
local M = {}

--- A lane not used for so long belongs to no living producer: retries end within minutes.
local UNUSED_MS = 3600000
--- Between two pages of 100 lanes.
local PAUSE_MS = 10000

--- Forgets old lanes on one page of the hash; how many.
function M.sweep(prefix, vhost_key, now_ms)
  local state = redis.call("HGET", vhost_key, "sweep")
  local due_ms, cursor = string.match(state or "0 0", "^(%d+) (%d+)$")
  if now_ms < tonumber(due_ms) then
    return 0
  end
  local page = redis.call("HSCAN", prefix .. "lanes", cursor, "COUNT", 100)
  local swept = 0
  for i = 1, #page[2], 2 do
    local used_ms = string.match(page[2][i + 1], "^%d+ %S+ (%d+) ")
    if now_ms - tonumber(used_ms) > UNUSED_MS then
      swept = swept + redis.call("HDEL", prefix .. "lanes", page[2][i])
    end
  end
  redis.call("HDEL", vhost_key, "")
  redis.call("HSET", vhost_key, "sweep", string.format("%.0f %s", now_ms + PAUSE_MS, page[1]))
  return swept
end

return M
