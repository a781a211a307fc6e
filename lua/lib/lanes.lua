--- What a lane remembers of its last call; and sweeping those of producers that are long gone, a page of the hash now and then.
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

--- What to answer to a call that was run before, or that another process' calls have overtaken; nil where it is to be run.
-- publish.lua has these lines itself, since it runs for every message.
function M.answered(prefix, lane, number, token)
  local last = redis.call("HGET", prefix .. "lanes", lane)
  if not last then
    return nil
  end
  local last_number, last_token, answer = string.match(last, "^(%d+) (%S+) %d+ (.*)$")
  if tonumber(last_number) < tonumber(number) then
    return nil
  elseif last_number == number and last_token == token then
    return answer
  end
  return require("lib.refuse").reply("PRODUCER_CLASH", "lane", lane, "another process counts on it")
end

--- Remembers a call and its answer. Where nothing was written before and memory is full it does not: then the call does no harm
-- when it is repeated.
function M.keep(prefix, lane, number, token, now_ms, answer)
  local call = number .. " " .. token .. " " .. string.format("%.0f", now_ms) .. " " .. answer
  redis.pcall("HSET", prefix .. "lanes", lane, call)
end

return M
