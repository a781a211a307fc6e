--- Whose turn it is in a queue where that matters: with a single active consumer (choosy `s`) the one that came first, and
-- after it the one of the highest priority; with consumer priorities (`r<count>`) the highest of those that wait. Such a
-- consumer is called by its own bell.
local clock = require("lib.clock")
local M = {}

--- Scores of waiting consumers: the priority counts first, then who waits longest.
local STEP = 4294967296
local MOST = 1048576

--- The score of the single active consumer among the users of its queue.
local ACTIVE = -9007199254740992

local function rank_of(priority)
  return math.max(1 - MOST, math.min(MOST, priority))
end

--- Where a consumer stands that is to be the active one some day: the highest priority is next, then the oldest.
function M.place(priority, turn)
  return clock.text(-rank_of(priority) * STEP + turn % STEP)
end

--- The first of those who read becomes the active one, and is it until it leaves, whoever comes (RabbitMQ's classic queues).
function M.promote(prefix, queue)
  local first = require("lib.consumers").reading(prefix, queue)[1]
  if first then
    redis.call("ZADD", prefix .. "users:" .. queue, "XX", clock.text(ACTIVE), first)
  end
end

--- Rings a consumer's bell. It begins with a write that maxmemory never refuses.
function M.ring(prefix, consumer)
  redis.call("HDEL", prefix .. "vhost", "")
  redis.call("XADD", prefix .. "bell:" .. consumer, "NOMKSTREAM", "MAXLEN", 1, "*", "t", "1")
end

--- The consumer that has waited longest among those of the highest priority, and that priority. One whose wait ended without
-- a word (its loop was left, its process died) is passed over.
local function best(prefix, queue)
  local now_ms = clock.now_ms()
  while true do
    local consumer = redis.call("ZRANGE", prefix .. "waiting:" .. queue, 0, 0)[1]
    if not consumer then
      return nil
    end
    local priority, until_ms = string.match(redis.call("HGET", prefix .. "ranks:" .. queue, consumer) or "", "^(%S+) (%d+)$")
    if priority and tonumber(until_ms) >= now_ms then
      return consumer, tonumber(priority)
    end
    redis.call("ZREM", prefix .. "waiting:" .. queue, consumer)
  end
end

--- Calls the consumer whose turn it is, if there is one.
function M.call_next(prefix, queue, choosy)
  local consumer
  if choosy == "s" then
    consumer = redis.call("ZRANGE", prefix .. "users:" .. queue, 0, 0)[1]
  else
    consumer = best(prefix, queue)
    redis.call("ZREM", prefix .. "waiting:" .. queue, consumer or "")
  end
  if consumer then
    M.ring(prefix, consumer)
  end
end

--- Whether it matters at any of these queues whose turn it is.
function M.matters(prefix, names)
  for first = 1, #names, 1000 do
    local last = math.min(first + 999, #names)
    local reasons = redis.call("HMGET", prefix .. "choosy", unpack(names, first, last))
    for i = 1, last - first + 1 do
      if reasons[i] then
        return true
      end
    end
  end
  return false
end

--- Whether a consumer may take now; where it is another's turn that one is called.
function M.may_take(prefix, queue, choosy, consumer, priority)
  if choosy == "s" then
    return redis.call("ZRANGE", prefix .. "users:" .. queue, 0, 0)[1] == consumer
  end
  redis.call("ZREM", prefix .. "waiting:" .. queue, consumer)
  local other, its_priority = best(prefix, queue)
  if not other or its_priority <= priority then
    return true
  end
  M.call_next(prefix, queue, choosy)
  return false
end

--- Notes that a consumer waits, for `wait_ms` at most. Call it after a write.
function M.wait(prefix, queue, consumer, priority, wait_ms)
  local turn = redis.call("HINCRBY", prefix .. "vhost", "next", 1) % STEP
  local rank = rank_of(priority)
  redis.call("HSET", prefix .. "ranks:" .. queue, consumer, clock.text(rank) .. " " .. clock.text(clock.now_ms() + wait_ms))
  redis.call("ZADD", prefix .. "waiting:" .. queue, clock.text(-rank * STEP + turn), consumer)
end

--- A consumer with a priority came (1) or went (-1): with the first, the others must ask before they read.
function M.count(prefix, queue, change)
  local choosy = redis.call("HGET", prefix .. "choosy", queue) or "r0"
  if choosy == "s" then
    return
  end
  local count = tonumber(string.sub(choosy, 2)) + change
  if count > 0 then
    redis.call("HSET", prefix .. "choosy", queue, "r" .. count)
  else
    redis.call("HDEL", prefix .. "choosy", queue)
    redis.call("UNLINK", prefix .. "ranks:" .. queue, prefix .. "waiting:" .. queue)
  end
end

--- A consumer is gone.
function M.forget(prefix, queue, consumer)
  redis.call("ZREM", prefix .. "waiting:" .. queue, consumer)
  redis.call("HDEL", prefix .. "ranks:" .. queue, consumer)
end

return M
