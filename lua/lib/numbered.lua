--- Calls that are numbered on a producer's lane, as publish numbers its own: a repeated one is answered from memory. Publish has
-- these lines itself, since it runs for every message.
local M = {}

--- What is to be answered without doing anything: the answer of the same call before, or a refusal; nil where it is new.
function M.answer(prefix, lane, number, token)
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
  return require("lib.refuse").reply("PRODUCER_CLASH", "lane", lane, "another process publishes on it")
end

--- Keeps the answer. Where nothing was written and memory is full it is not kept: the call does no harm when it is repeated.
function M.keep(prefix, lane, number, token, answer)
  local now_ms = require("lib.clock").text(require("lib.clock").now_ms())
  redis.pcall("HSET", prefix .. "lanes", lane, number .. " " .. token .. " " .. now_ms .. " " .. answer)
end

return M
