--- The reaper's look at one queue: a page of what is unacked; what is overdue, or belongs to no one, is given back.
local consumers = require("lib.consumers")
local queues = require("lib.queues")
local returns = require("lib.returns")
local clock = require("lib.clock")
local M = {}

--- Rows of one page: about 0.1 ms of the server's time (docs/architecture.md, Sessions and the reaper).
local PAGE = 100
--- A queue with more unacked than one page is not scanned more often than this.
local PAUSE_MS, SHORT_PAUSE_MS = 1000, 20
--- What is too old in a stream goes at least so often.
local STREAM_MS = 5000

--- Sorts a page by what is to be done; `state.earliest_ms` becomes the least time until an entry of it is overdue.
local function judge(prefix, rows, state)
  local overdue = {}
  for _, row in ipairs(rows) do
    local owner, idle_ms = row[2], row[3]
    if owner ~= "-" and owner ~= "~" then -- given back, or waiting to be tried again (lib/retries.lua)
      local known = state.owners[owner]
      if known == nil then
        known = consumers.brief(prefix, owner) or false
        state.owners[owner] = known
      end
      if not known or idle_ms >= known.timeout_ms then
        overdue[owner] = overdue[owner] or {}
        table.insert(overdue[owner], row[1])
      else
        state.earliest_ms = math.min(state.earliest_ms, known.timeout_ms - idle_ms)
      end
    end
  end
  return overdue
end

--- The shortest ack timeout of the queue's consumers: nothing that they take from now on is overdue before.
local function shortest_ms(prefix, name)
  local shortest = math.huge
  for _, user in ipairs(redis.call("ZRANGE", prefix .. "users:" .. name, 0, -1)) do
    local known = consumers.brief(prefix, user)
    if known then
      shortest = math.min(shortest, known.timeout_ms)
    end
  end
  return shortest
end

--- The ack timeouts: looks at one page. Returns how many entries were given back, and when to come again (huge: never).
local function look(prefix, name, now_ms)
  local state = { owners = {}, earliest_ms = math.huge }
  local from, paged = "-", redis.call("HGET", prefix .. "visits", name)
  if paged then
    local earliest
    from, earliest = string.match(paged, "^(%S+) (%S+)$")
    state.earliest_ms = earliest == "none" and math.huge or tonumber(earliest)
  end
  local rows = redis.call("XPENDING", prefix .. "stream:" .. name, "g", from, "+", PAGE)
  local given = 0
  for owner, ids in pairs(judge(prefix, rows, state)) do
    given = given + returns.take_away(prefix, name, ids, owner, state.owners[owner] and "ack timeout" or "consumer died")
  end
  if given > 0 then
    returns.post(prefix, name)
  end
  redis.call("HDEL", prefix .. "visits", name)
  if #rows == PAGE then
    local earliest = state.earliest_ms == math.huge and "none" or clock.text(state.earliest_ms)
    redis.call("HSET", prefix .. "visits", name, "(" .. rows[PAGE][1] .. " " .. earliest)
    return given, now_ms
  end
  local next_ms = math.min(state.earliest_ms, shortest_ms(prefix, name))
  if next_ms == math.huge then
    return given, next_ms
  end
  -- A token may have been taken by a consumer that then died before it took anything.
  if tonumber(redis.call("HGET", prefix .. "returned", name) or 0) > 0 then
    returns.post(prefix, name)
  end
  return given, now_ms + math.max(next_ms, paged and PAUSE_MS or SHORT_PAUSE_MS)
end

--- What time and limits do to a queue that has them: how many died, and when to come again (huge: never).
local function age(prefix, name, traits, now_ms)
  if not next(traits) and redis.call("HEXISTS", prefix .. "timed", name) + redis.call("HEXISTS", prefix .. "measures", name) == 0 then
    return 0, math.huge -- a plain queue, as most are: half of what a visit costs
  end
  local arrivals = require("lib.arrivals")
  local state = arrivals.new(prefix)
  local queue, next_ms, died = arrivals.queue(state, name), math.huge, 0
  if redis.call("HEXISTS", prefix .. "timed", name) == 1 then
    local count, head_ms = arrivals.expire(state, queue)
    died = count
    if head_ms then
      next_ms = head_ms > state.now_ms and head_ms or now_ms -- the clock went on meanwhile: more that is due now
    elseif queues.counts(prefix, name) > 0 then
      next_ms = now_ms + PAUSE_MS -- the head lives for ever, and behind it there may be some that do not
    elseif redis.call("XLEN", queue.key) == 0 then -- what is unacked may come back, and expires then
      redis.call("HDEL", prefix .. "timed", name)
    end
  end
  if queue.traits.kind == "stream" then
    require("lib.log").shorten(state, queue)
    return 0, queue.traits.age and now_ms + STREAM_MS or math.huge
  end
  local counting = require("lib.measure").page(prefix, name) -- first: its last page may tell that it is over its limit
  local trimmed, more = arrivals.trim(state, queue)
  if more or counting then
    next_ms = now_ms
  end
  arrivals.finish(state)
  return died + trimmed, next_ms
end

--- When an unused queue is to go (x-expires): 0 now, huge never.
local function end_of_life(prefix, name, traits, now_ms)
  if not traits.expires or redis.call("EXISTS", prefix .. "users:" .. name) == 1 then
    return math.huge
  end
  local end_ms = tonumber(redis.call("HGET", prefix .. "idle", name) or now_ms) + traits.expires
  return end_ms <= now_ms and 0 or end_ms
end

--- Looks at a queue. Returns how many entries were given back and how many died; the queue's next visit is set.
function M.visit(prefix, name, now_ms)
  local queue = queues.read(prefix, name)
  if not queue or queues.broken(prefix, name, queue) then
    redis.call("ZREM", prefix .. "due", name)
    return 0, 0
  end
  redis.call("ZREM", prefix .. "due", name) -- never refused; below, whoever plans a visit is not held up by this one
  local traits = require("lib.traits").read(prefix, name)
  local end_ms = end_of_life(prefix, name, traits, now_ms)
  if end_ms == 0 then
    queues.delete(prefix, name)
    return 0, 0
  end
  local given, next_ms = look(prefix, name, now_ms)
  local died, age_ms = age(prefix, name, traits, now_ms)
  next_ms = math.min(next_ms, age_ms, end_ms)
  if next_ms < math.huge then
    redis.call("ZADD", prefix .. "due", "LT", clock.text(next_ms), name)
  end
  return given, died
end

return M
