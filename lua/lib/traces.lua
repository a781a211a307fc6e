--- Tracing, switched on: what is traced and for how long, and the queues at which scripts look closely meanwhile.
-- `traces` holds id -> table: queue, exchange, key (a topic pattern), keep (events), begun and ends (ms). In the vhost's hash
-- `trace` is there while one is on (the events to keep, the greatest of all), `keyed` while one is on that is not of a queue, so
-- that publish has to look at all messages; `untrace` is when the reaper is to look (ms).
-- `traced` holds the queues that got a traced message: their trait `trace` makes publish and take look, and a fence of "t" settle.
local clock = require("lib.clock")
local typed = require("lib.typed")
local M = {}

--- So many queues are let go of in one call.
local PAGE = 100
--- Events stay so long after the newest of them, when the last trace has ended by itself.
local AFTERWARDS_MS = 3600000

--- The traces that are on: { id = { queue = …, … } }, and the ids of those whose time is up.
function M.all(prefix, now_ms)
  local fields, on, over = redis.call("HGETALL", prefix .. "traces"), {}, {}
  for i = 1, #fields, 2 do
    local trace = typed.values(fields[i + 1])
    if trace.ends > now_ms then
      on[fields[i]] = trace
    else
      over[#over + 1] = fields[i]
    end
  end
  return on, over
end

--- What scripts that look need: { keep = …, list = … }; false where nothing is traced.
function M.now(prefix)
  local keep = redis.call("HGET", prefix .. "vhost", "trace")
  if not keep then
    return false
  end
  local list = {}
  for _, trace in pairs((M.all(prefix, clock.now_ms()))) do
    trace.pattern = trace.key and { require("lib.topic").split(trace.key) }
    list[#list + 1] = trace
  end
  return { keep = keep, list = list }
end

--- The traits of a queue with the mark in them; its value tells whether the record began with "-" (lib/traits.lua).
function M.marked(traits)
  local plain = string.sub(traits, 1, 1) == "-"
  local rows = typed.rows(plain and string.sub(traits, 2) or traits)
  typed.set(rows, "trace", plain and "s-" or "s")
  return typed.write(rows)
end

--- The value of a consumer's fence: "t" where settle has to look at what it settles, "s" where some of that may share a large
-- body (lib/bodies.lua).
function M.fence(prefix, consumer)
  local marks = redis.call("EXISTS", prefix .. "traced", prefix .. "sharing") > 0
  local known, value = marks and require("lib.consumers").read(prefix, consumer), 1
  for _, name in ipairs(known and known.queues or {}) do
    if redis.call("HEXISTS", prefix .. "traced", name) == 1 then
      return "t"
    elseif redis.call("HEXISTS", prefix .. "sharing", name) == 1 then
      value = "s"
    end
  end
  return value
end

--- From here on everybody looks at what this queue does. Consumers that read natively are woken, come to ask, and learn it.
function M.mark(prefix, name)
  if redis.call("HSETNX", prefix .. "traced", name, 1) == 0 then
    return
  end
  redis.call("HSET", prefix .. "traits", name, M.marked(redis.call("HGET", prefix .. "traits", name) or ""))
  for _, consumer in ipairs(redis.call("ZRANGE", prefix .. "users:" .. name, 0, -1)) do
    if redis.call("HEXISTS", prefix .. "fences", consumer) == 1 then
      redis.call("HSET", prefix .. "fences", consumer, "t")
    end
  end
  require("lib.returns").post(prefix, name)
end

--- A queue was declared: a trace of its name holds for it.
function M.declared(prefix, name)
  for _, trace in pairs((M.all(prefix, clock.now_ms()))) do
    if trace.queue == name then
      M.mark(prefix, name)
    end
  end
end

local function unmark(prefix, name)
  redis.call("HDEL", prefix .. "traced", name)
  local rows = typed.rows(redis.call("HGET", prefix .. "traits", name) or "")
  local mark = typed.get(rows, "trace")
  typed.set(rows, "trace", nil)
  if #rows == 0 then
    redis.call("HDEL", prefix .. "traits", name)
  else
    redis.call("HSET", prefix .. "traits", name, string.sub(mark or "s", 2) .. typed.write(rows))
  end
  for _, consumer in ipairs(redis.call("ZRANGE", prefix .. "users:" .. name, 0, -1)) do
    if redis.call("HGET", prefix .. "fences", consumer) == "t" then
      redis.call("HSET", prefix .. "fences", consumer, M.fence(prefix, consumer))
    end
  end
end

--- Nothing is traced any more: lets go of a page of queues, and of the events in their time. When to come again, or nil.
local function clear(prefix, now_ms)
  redis.call("HDEL", prefix .. "vhost", "trace", "keyed")
  for _, name in ipairs(redis.call("HRANDFIELD", prefix .. "traced", PAGE) or {}) do
    unmark(prefix, name)
  end
  if redis.call("EXISTS", prefix .. "traced") == 1 then
    return now_ms
  end
  local newest = redis.call("XREVRANGE", prefix .. "trace", "+", "-", "COUNT", 1)[1]
  local until_ms = newest and tonumber(string.match(newest[1], "^%d+")) + AFTERWARDS_MS
  if until_ms and until_ms > now_ms then
    return until_ms
  end
  redis.call("UNLINK", prefix .. "trace")
end

--- Ends what is over, and says when there is more to do (nil: never). Its first write is one that maxmemory never refuses.
function M.settle(prefix, now_ms)
  local vhost_key, keep, keyed, next_ms = prefix .. "vhost", 0, false, nil
  redis.call("HDEL", vhost_key, "")
  local on, over = M.all(prefix, now_ms)
  for _, id in ipairs(over) do
    redis.call("HDEL", prefix .. "traces", id)
  end
  for _, trace in pairs(on) do
    keep, keyed = math.max(keep, trace.keep), keyed or not trace.queue
    next_ms = math.min(next_ms or trace.ends, trace.ends)
  end
  if keep > 0 then
    redis.call("HDEL", vhost_key, "keyed")
    redis.call("HSET", vhost_key, "trace", clock.text(keep), unpack(keyed and { "keyed", 1 } or {}))
  else
    next_ms = clear(prefix, now_ms)
  end
  if next_ms then
    redis.call("HSET", vhost_key, "untrace", clock.text(next_ms))
  else
    redis.call("HDEL", vhost_key, "untrace")
  end
  return next_ms
end

return M
