--- A consumer in Redis: its record, what it holds, its end.
-- Record: `<timeout_ms>;<p plain, m managed, g get>;<prefetch>;<priority>;<netstring packed queues><netstring session><table>`.
local pack = require("lib.pack")
local queues = require("lib.queues")
local returns = require("lib.returns")
local M = {}

--- Added to the age of one that was cancelled: every other is before it.
local LAST = 4503599627370496

--- Users of a queue that read from it, at most two.
function M.reading(prefix, queue_name)
  return redis.call("ZRANGEBYSCORE", prefix .. "users:" .. queue_name, "-inf", "(" .. string.format("%.0f", LAST), "LIMIT", 0, 2)
end

--- The record but for its queues, of which there may be hundreds.
function M.brief(prefix, name)
  local record = redis.call("HGET", prefix .. "consumers", name)
  if not record then
    return nil
  end
  local timeout_ms, kind, prefetch, priority, rest = string.match(record, "^(%d+);(%l);(%d+);(%-?%d+);()")
  if not timeout_ms then
    return nil
  end
  local packed, after = pack.read(record, rest)
  return {
    timeout_ms = tonumber(timeout_ms),
    kind = kind,
    prefetch = tonumber(prefetch),
    priority = tonumber(priority),
    packed = packed,
    session = pack.read(record, after),
  }
end

--- The names of a consumer's queues.
function M.names(consumer)
  local _, names = pack.destinations(consumer.packed)
  return names
end

function M.read(prefix, name)
  local consumer = M.brief(prefix, name)
  if consumer then
    consumer.queues = M.names(consumer)
  end
  return consumer
end

--- Gives back what `name` holds in a queue, at most `limit` rows from `from` on: how many rows there were, and the last id.
-- `seen` is the set of ids that its user was shown; the others are put back as never read. Without `seen` (the process died)
-- all count as shown. What was shown stays with `options.keep`, goes to `options.heir`, or is given back.
function M.release(prefix, name, queue, limit, options)
  local stream_key = prefix .. "stream:" .. queue
  local rows = redis.call("XPENDING", stream_key, "g", options.from or "-", "+", limit, name)
  local shown, unseen, counts = {}, {}, {}
  for _, row in ipairs(rows) do
    local id = row[1]
    if options.seen and not options.seen[id] then
      unseen[#unseen + 1], counts[#counts + 1] = id, row[4]
    elseif options.heir then
      redis.call("XCLAIM", stream_key, "g", options.heir, 0, id, "IDLE", row[3], "JUSTID")
      options.inherited[id] = true
    elseif not options.keep then
      shown[#shown + 1] = id
    end
  end
  returns.put_back(prefix, queue, unseen, counts)
  returns.give_back(prefix, queue, shown, options.reason)
  if #unseen + #shown > 0 then
    returns.post(prefix, queue)
  end
  return #rows, #rows > 0 and rows[#rows][1]
end

local function add_room(prefix, queue_name, places)
  -- A zero may be a negative one, which Redis takes for no number.
  if places ~= 0 and redis.call("HINCRBY", prefix .. "windows", queue_name, places) <= 0 then
    redis.call("HDEL", prefix .. "windows", queue_name)
  end
end

--- A user of the queue came (1) or went (-1): how many read by script, for how many messages there is room, who is choosy.
function M.count(prefix, queue_name, consumer, change)
  if consumer.kind == "m" and redis.call("HINCRBY", prefix .. "managed", queue_name, change) <= 0 then
    redis.call("HDEL", prefix .. "managed", queue_name)
  end
  add_room(prefix, queue_name, change * consumer.prefetch)
  if consumer.priority ~= 0 then
    require("lib.choice").count(prefix, queue_name, change)
  end
end

--- Whether the queue has to be read by script.
function M.must_ask(prefix, queue_name)
  return redis.call("HEXISTS", prefix .. "choosy", queue_name) == 1
    or require("lib.traits").managed(require("lib.traits").read(prefix, queue_name))
end

--- What consumers that read from a queue hold of it: { name, count, name, count, ... }; not what `get` took, or was left behind.
local function held(prefix, queue_name)
  local names, counts, found = {}, {}, {}
  for i, row in ipairs(redis.call("XPENDING", prefix .. "stream:" .. queue_name, "g")[4] or {}) do
    names[i], counts[i] = row[1], tonumber(row[2])
  end
  for first = 1, #names, 1000 do
    local last = math.min(first + 999, #names)
    for i, score in ipairs(redis.call("ZMSCORE", prefix .. "users:" .. queue_name, unpack(names, first, last))) do
      if score and tonumber(score) < LAST then
        found[#found + 1], found[#found + 2] = names[first + i - 1], counts[first + i - 1]
      end
    end
  end
  return found
end

--- For how many messages of a queue its consumers have room; with a single active one (`single`) it is that one's.
function M.room(prefix, queue_name, single, unacked)
  local window = tonumber(redis.call("HGET", prefix .. "windows", queue_name) or 0)
  local active = single and window > 0 and M.reading(prefix, queue_name)[1]
  window = active and M.read(prefix, active).prefetch or window
  if unacked > 0 and window > 0 then
    local holders = held(prefix, queue_name)
    for i = 1, #holders, 2 do
      window = window - ((not active or holders[i] == active) and holders[i + 1] or 0)
    end
  end
  return math.max(window, 0)
end

local function not_alone(prefix, name, queue_name)
  if redis.call("HGET", prefix .. "sole", queue_name) == name then
    redis.call("HDEL", prefix .. "sole", queue_name)
  end
end

local function give_way(prefix, name, queue_name)
  not_alone(prefix, name, queue_name)
  local choosy = redis.call("HGET", prefix .. "choosy", queue_name)
  if choosy == "s" then
    require("lib.choice").promote(prefix, queue_name)
  end
  if choosy then
    require("lib.choice").forget(prefix, queue_name, name)
    returns.post(prefix, queue_name) -- it may be another's turn now
  end
end

--- A consumer reads no more, and still holds what it was shown (basic.cancel): it has no room, and it is nobody's turn before
-- another's.
function M.step_back(prefix, name, consumer)
  local record = string.gsub(redis.call("HGET", prefix .. "consumers", name), "^(%d+;%l;)%d+;", "%10;")
  redis.call("HSET", prefix .. "consumers", name, record)
  for _, queue_name in ipairs(consumer.queues) do
    local users_key = prefix .. "users:" .. queue_name
    if redis.call("ZSCORE", users_key, name) then
      add_room(prefix, queue_name, -consumer.prefetch)
      require("lib.arrivals").review(prefix, queue_name)
      local age = tonumber(redis.call("ZSCORE", users_key, name))
      redis.call("ZADD", users_key, string.format("%.0f", LAST + math.max(age, 0)), name)
      give_way(prefix, name, queue_name)
    end
  end
end

local function end_use(prefix, name, queue_name, queue, consumer)
  local was_choosy = redis.call("HEXISTS", prefix .. "choosy", queue_name) == 1
  M.count(prefix, queue_name, consumer, -1)
  require("lib.arrivals").review(prefix, queue_name)
  give_way(prefix, name, queue_name)
  if was_choosy and redis.call("HEXISTS", prefix .. "choosy", queue_name) == 0 then
    returns.post(prefix, queue_name) -- those called were called by turns; who is left waits for the queue's own token
  end
  if redis.call("EXISTS", prefix .. "users:" .. queue_name) == 1 then
    return
  elseif queue.auto_delete then
    queues.delete(prefix, queue_name)
  else
    queues.used(prefix, queue_name, require("lib.traits").read(prefix, queue_name))
  end
end

local function leave_queue(prefix, name, queue_name, consumer)
  local queue = queues.read(prefix, queue_name)
  if not queue then
    return
  end
  local stream_key = prefix .. "stream:" .. queue_name
  -- DELCONSUMER throws away what is pending, so only one that holds nothing may go.
  if #redis.call("XPENDING", stream_key, "g", "-", "+", 1, name) == 0 then
    redis.call("XGROUP", "DELCONSUMER", stream_key, "g", name)
  end
  -- A token that it read and did not act on would be lost with it.
  local wake_key, group = prefix .. "wake:" .. queue_name, consumer.kind == "m" and "m" or "g"
  if redis.call("EXISTS", wake_key) == 1 and redis.call("XGROUP", "DELCONSUMER", wake_key, group, name) > 0 then
    returns.post(prefix, queue_name)
  end
  if redis.call("ZREM", prefix .. "users:" .. queue_name, name) == 1 then
    end_use(prefix, name, queue_name, queue, consumer)
  end
end

--- Whether a queue goes with this user: then nothing is given back to it first, since what that leaves no room for would be
-- dead-lettered, which RabbitMQ does not do.
function M.takes_along(prefix, name, queue_name, queue)
  local users_key = prefix .. "users:" .. queue_name
  return queue.auto_delete and redis.call("ZCARD", users_key) == 1 and redis.call("ZSCORE", users_key, name)
end

--- Unregisters a consumer that holds nothing more; an auto-delete queue goes with its last one.
function M.forget(prefix, name, consumer)
  redis.call("HDEL", prefix .. "fences", name)
  redis.call("HDEL", prefix .. "consumers", name)
  redis.call("SREM", prefix .. "session:" .. consumer.session, "c" .. name)
  redis.call("UNLINK", prefix .. "bell:" .. name)
  for _, queue_name in ipairs(consumer.queues) do
    leave_queue(prefix, name, queue_name, consumer)
  end
end

return M
