--- Settle a batch of deliveries of one consumer: ack and reject remove them, requeue gives them back, retry does so later.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] consumer   its name
-- ARGV[3] again      1: sent before and the reply was lost, so an entry that is in no one's hands was settled then
-- ARGV[4] rearm      1: after this it holds nothing, so its fence may stand again
-- ARGV[5..]          per queue: name, incarnation, counts to ack, requeue, reject and retry, the ids in that order
-- Returns nothing, or the stale ones as queue, id, queue, id, … (they were given to somebody else, and nothing was done to them),
--         and the names of queues that were deleted since this consumer was registered.
local vhost_key, vhost_id, consumer, again, rearm = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local departure = require("lib.departure")
-- A fence speaks for what is held ("s": some of it may share a large body; of another value: some of it may be traced). What is
-- sent again may have been settled by the first try, and be another's by now.
local fence = again ~= "1" and redis.call("HGET", prefix .. "fences", consumer)
-- What nearly all batches are, before anything rare is so much as defined: acks alone, of one queue.
if fence == "1" and #ARGV == 10 + ARGV[7] then
  departure.leave_whole(prefix .. "stream:" .. ARGV[5], ARGV, 11, #ARGV)
  return {}
end
local fenced = fence == "1" or fence == "s"
local traced = not fenced and redis.call("EXISTS", prefix .. "traced") == 1
local stale, gone = {}, {}

--- What settle tells a trace itself, by the place of the verdict; the others are told where entries return and die.
local KINDS = { [1] = "acked", [4] = "retried" }

local function requeue(name, ids)
  local returns = require("lib.returns")
  if returns.give_back(prefix, name, ids, "requeued") > 0 then
    returns.post(prefix, name)
  end
end

local function leave(name, ids, first, last)
  if fence == "1" then
    departure.leave_whole(prefix .. "stream:" .. name, ids, first, last)
  else
    departure.leave(prefix, name, ids, first, last)
  end
end

local function reject(name, ids, first, last)
  if first > last then
    return
  elseif redis.call("HEXISTS", prefix .. "traits", name) == 1 then
    require("lib.rejects").leave(prefix, name, ids, first, last)
  else
    leave(name, ids, first, last)
  end
end

local function settle_checked(name, first, counts)
  local ownership = require("lib.ownership")
  local stream_key = prefix .. "stream:" .. name
  local last = first
  for i, count in ipairs(counts) do
    local own, others, absent = ownership.split(stream_key, consumer, ARGV, last, last + count - 1)
    last = last + count
    if traced and KINDS[i] then
      require("lib.trace").entries(prefix, name, own, KINDS[i])
    end
    if i == 1 and #own > 0 then
      leave(name, own, 1, #own)
    elseif i == 2 then
      requeue(name, own)
    elseif i == 3 then
      reject(name, own, 1, #own)
    elseif i == 4 then
      require("lib.retries").retry(prefix, name, own)
    end
    -- Sent again: what is gone was settled then, and what was to go back has gone back, or waits.
    local done = again == "1"
    for _, list in ipairs({ done and i % 2 == 0 and {} or others, done and {} or absent }) do
      for _, id in ipairs(list) do
        stale[#stale + 1], stale[#stale + 2] = name, id
      end
    end
  end
end

local at = 5
while at <= #ARGV do
  local name, incarnation = ARGV[at], ARGV[at + 1]
  local acks, requeues, rejects, retries = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  local first = at + 6
  at = first + acks + requeues + rejects + retries
  if not fenced then
    local queue = require("lib.queues").read(prefix, name)
    if queue and queue.incarnation == incarnation then
      settle_checked(name, first, { acks, requeues, rejects, retries })
    else
      gone[#gone + 1] = name
    end
  else
    if acks > 0 then
      leave(name, ARGV, first, first + acks - 1)
    end
    if requeues > 0 then
      requeue(name, { unpack(ARGV, first + acks, first + acks + requeues - 1) })
    end
    reject(name, ARGV, first + acks + requeues, at - retries - 1)
    if retries > 0 then
      require("lib.retries").retry(prefix, name, { unpack(ARGV, at - retries, at - 1) })
    end
  end
end
if rearm == "1" and fence ~= "1" and #gone == 0 and redis.call("HEXISTS", prefix .. "consumers", consumer) == 1 then
  redis.call("HDEL", prefix .. "fences", "")
  redis.call("HSET", prefix .. "fences", consumer, require("lib.traces").fence(prefix, consumer))
end
if #stale == 0 and #gone == 0 then
  return {}
end
return { stale, gone }
