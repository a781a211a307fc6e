--- Messages that wait to be tried again (nack with retry): the entry stays in its stream and pending, in the hands of the
-- pseudo-consumer `~`, so its place and its delivery count stay. `retries:<queue>` holds id -> when it is due, `retrying`
-- queue -> when its first one is.
local arrivals = require("lib.arrivals")
local clock = require("lib.clock")
local returns = require("lib.returns")
local M = {}

--- So many of a queue are given back at once.
local PAGE = 100

--- The policy as rexchange/traits.py writes it: `<d|e> <tries> <jitter>`, then delays, or first, factor and longest.
local function parse(text)
  local words = {}
  for word in string.gmatch(text, "%S+") do
    words[#words + 1] = tonumber(word) or word
  end
  return { grows = words[1] == "e", tries = words[2], jitter = words[3], words = words }
end

--- How long an entry waits after its `count`-th try. Chance would be another in a replica: the jitter is a hash.
local function delay_ms(policy, id, count)
  local words = policy.words
  local ms = words[math.min(3 + count, #words)]
  if policy.grows then
    ms = math.min(words[4] * words[5] ^ (count - 1), words[6])
  end
  if policy.jitter > 0 then
    local hash = require("lib.hash")
    local drawn = hash.of(id .. " " .. clock.text(count), 13) / (hash.PRIME - 1)
    ms = ms * (1 + policy.jitter * (2 * drawn - 1))
  end
  return math.floor(ms + 0.5)
end

--- Sorts the entries by what becomes of them: to wait, with the delay of each, or to die since they had their tries.
local function sort(queue, ids)
  local policy, limit = parse(queue.traits.retry), queue.traits.limit
  local waiting, delays, dying = {}, {}, {}
  for _, id in ipairs(ids) do
    local row = redis.call("XPENDING", queue.key, "g", id, id, 1)[1]
    local count = row and math.max(row[4], 1) or 1
    if count >= policy.tries or limit and count > limit then
      dying[#dying + 1] = id
    else
      waiting[#waiting + 1], delays[id] = id, delay_ms(policy, id, count)
    end
  end
  return waiting, delays, dying
end

local function wait(state, queue, ids, delays)
  local prefix, first_ms = state.prefix, math.huge
  for from = 1, #ids, 2000 do
    local command = { "XCLAIM", queue.key, "g", "~", 0 }
    for i = from, math.min(from + 1999, #ids) do
      command[#command + 1] = ids[i]
    end
    command[#command + 1] = "JUSTID"
    for _, id in ipairs(redis.call(unpack(command))) do
      local due_ms = state.now_ms + delays[id]
      redis.call("ZADD", prefix .. "retries:" .. queue.name, clock.text(due_ms), id)
      first_ms = math.min(first_ms, due_ms)
    end
  end
  if first_ms < math.huge and redis.call("ZADD", prefix .. "retrying", "LT", "CH", clock.text(first_ms), queue.name) == 1 then
    require("lib.due").alarm(prefix, first_ms)
  end
end

--- Lets entries that a consumer owns wait for their next try. Where the queue's policy is gone by now they go back at once.
function M.retry(prefix, name, ids)
  redis.call("HDEL", prefix .. "vhost", "") -- never refused, so the rest runs whatever the memory
  local state = arrivals.new(prefix)
  local queue = arrivals.queue(state, name)
  if #ids == 0 or not queue then
    return
  elseif not queue.traits.retry then
    if returns.give_back(prefix, name, ids, "requeued") > 0 then
      returns.post(prefix, name)
    end
    return
  end
  local waiting, delays, dying = sort(queue, ids)
  wait(state, queue, waiting, delays)
  for _, id in ipairs(dying) do
    local entry = redis.call("XRANGE", queue.key, id, id)[1]
    if entry then
      arrivals.died(state, queue, entry[2], "delivery_limit")
    end
    require("lib.departure").leave(prefix, name, { id }, 1, 1)
  end
  arrivals.finish(state)
end

--- Gives back those of `ids` that wait; how many. One that is in other hands, or gone, is only forgotten.
function M.give_back(prefix, name, ids)
  local stream_key, waiting = prefix .. "stream:" .. name, {}
  for _, id in ipairs(ids) do
    if redis.call("ZREM", prefix .. "retries:" .. name, id) == 1 and #redis.call("XPENDING", stream_key, "g", id, id, 1, "~") > 0 then
      waiting[#waiting + 1] = id
    end
  end
  if returns.give_back(prefix, name, waiting, "its time has come") > 0 then
    returns.post(prefix, name)
  end
  return #waiting
end

--- Notes when the first of those that wait is due. Call it after a write.
function M.plan(prefix, name)
  local first = redis.call("ZRANGE", prefix .. "retries:" .. name, 0, 0, "WITHSCORES")
  if first[2] then
    redis.call("ZADD", prefix .. "retrying", clock.text(tonumber(first[2])), name)
  else
    redis.call("ZREM", prefix .. "retrying", name)
  end
end

--- Gives back what is due, about `limit` entries over all queues; how many.
function M.release(prefix, now_ms, limit)
  local given, used, now = 0, 0, clock.text(now_ms)
  while used < limit do
    local name = redis.call("ZRANGEBYSCORE", prefix .. "retrying", "-inf", now, "LIMIT", 0, 1)[1]
    if not name then
      break
    end
    redis.call("ZREM", prefix .. "retrying", name)
    local queue = require("lib.queues").read(prefix, name)
    if queue and not require("lib.queues").broken(prefix, name, queue) then
      local ids = redis.call("ZRANGEBYSCORE", prefix .. "retries:" .. name, "-inf", now, "LIMIT", 0, PAGE)
      given = given + M.give_back(prefix, name, ids)
      used = used + #ids
      M.plan(prefix, name)
    end
    used = used + 10
  end
  return given
end

return M
