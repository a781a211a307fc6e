--- Giving entries back: they go to the pseudo-consumer `-` of the queue's group with their ids, so to their places
-- (docs/semantics.md, Consuming and acks).
-- Every function here begins with a write that maxmemory never refuses, so that it works when memory is full.
local M = {}

--- Posts the wake token: exactly one blocked consumer reads it and takes what was given back. Where it matters who that
-- is, the bell of the one whose turn it is rings instead.
-- Without a wake stream nobody consumes by blocking; the first such consumer posts one for itself when it comes.
function M.post(prefix, queue)
  redis.call("HDEL", prefix .. "vhost", "")
  local choosy = redis.call("HGET", prefix .. "choosy", queue)
  if choosy then
    require("lib.choice").call_next(prefix, queue, choosy)
  else
    redis.call("XADD", prefix .. "wake:" .. queue, "NOMKSTREAM", "MAXLEN", 1, "*", "t", "1")
  end
end

local function claim_page(prefix, queue, ids, first, retry_count)
  local command = { "XCLAIM", prefix .. "stream:" .. queue, "g", "-", 0 }
  for i = first, math.min(first + 1999, #ids) do
    command[#command + 1] = ids[i]
  end
  if retry_count then
    command[#command + 1] = "RETRYCOUNT"
    command[#command + 1] = retry_count
  end
  command[#command + 1] = "JUSTID"
  local moved = redis.call(unpack(command))
  if #moved > 0 then
    redis.call("HINCRBY", prefix .. "returned", queue, #moved)
    require("lib.ready").regain(prefix, queue, moved)
  end
  return #moved
end

--- In pages: unpack takes less than 8,000.
local function claim(prefix, queue, ids, retry_count)
  local moved = 0
  for first = 1, #ids, 2000 do
    moved = moved + claim_page(prefix, queue, ids, first, retry_count)
  end
  return moved
end

--- Gives back entries that were handed out; the group's own counter keeps how often. What was handed out too often dies
-- (x-delivery-limit), and so does what the queue has no room for. `reason`: why, for a trace.
function M.give_back(prefix, queue, ids, reason)
  if #ids == 0 then
    return 0
  end
  local traits, arrivals = require("lib.traits").read(prefix, queue), require("lib.arrivals")
  local limit = traits.limit
  if traits.trace then
    require("lib.trace").entries(prefix, queue, ids, "given_back", reason)
  end
  if limit then
    local state = arrivals.new(prefix)
    ids = require("lib.limit").weed(state, queue, limit, ids)
    arrivals.finish(state)
  end
  local pushed = arrivals.pushed(prefix, queue)
  local moved = claim(prefix, queue, ids)
  arrivals.review(prefix, queue, pushed)
  return moved
end

--- Puts back entries that nobody saw, as if they had never been read: `counts` are the group's delivery counts. Whoever had
-- them takes anew, or leaves, which reviews the queue.
function M.put_back(prefix, queue, ids, counts)
  local by_count, moved = {}, 0
  if #ids > 0 and require("lib.traits").read(prefix, queue).trace then
    require("lib.trace").entries(prefix, queue, ids, "given_back", "not shown")
  end
  for i = 1, #ids do
    local list = by_count[counts[i]] or {}
    by_count[counts[i]] = list
    list[#list + 1] = ids[i]
  end
  for count, list in pairs(by_count) do
    moved = moved + claim(prefix, queue, list, math.max(count - 1, 0))
  end
  return moved
end

--- Takes entries from a consumer against its will: it loses its fence in the same step, so a late ack is checked.
function M.take_away(prefix, queue, ids, consumer, reason)
  redis.call("HDEL", prefix .. "fences", consumer)
  return M.give_back(prefix, queue, ids, reason)
end

return M
