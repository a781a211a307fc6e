--- How a consumer enters its queues, and what it takes over from its older name.
local clock = require("lib.clock")
local consumers = require("lib.consumers")
local pack = require("lib.pack")
local queues = require("lib.queues")
local returns = require("lib.returns")
local M = {}

--- A refusal (403) where another consumer has the queue for itself, or this one asks for what others use; else nil. It is no
-- other when it comes again, under its older name or since the reply was lost.
function M.taken(prefix, name, consumer, old, exclusive)
  local refuse = require("lib.refuse")
  local sole = redis.call("HGET", prefix .. "sole", name)
  if sole and sole ~= old and sole ~= consumer and redis.call("HEXISTS", prefix .. "consumers", sole) == 1 then
    return refuse.reply("ACCESS_REFUSED", "queue", name, "another consumer has it for itself (exclusive)")
  elseif not exclusive then
    return nil
  elseif require("lib.traits").read(prefix, name).single then
    return refuse.reply("ACCESS_REFUSED", "queue", name, "it has a single active consumer, so none may ask for it exclusively")
  end
  for _, user in ipairs(consumers.reading(prefix, name)) do
    if user ~= old and user ~= consumer then
      return refuse.reply("ACCESS_REFUSED", "queue", name, "it has other consumers, so it cannot be consumed exclusively")
    end
  end
end

--- The queue's own ack timeout, by argument or policy: the shorter one; nil where it has none.
function M.timeout_ms(prefix, queue, name)
  local by_policy = require("lib.traits").read(prefix, name).timeout
  local own_ms = queue.timeout_ms > 0 and queue.timeout_ms or by_policy
  return own_ms and by_policy and math.min(own_ms, by_policy) or own_ms
end

--- A refusal (540) where a stream is asked for what it has not, else nil.
function M.as_stream(prefix, name, kind, among_others)
  if require("lib.traits").read(prefix, name).kind ~= "stream" then
    return nil
  elseif kind == "g" then
    return require("lib.refuse").reply("NOT_SUPPORTED", "queue", name, "it is a stream: consume it, get takes nothing from one")
  elseif among_others then
    return require("lib.refuse").reply("NOT_SUPPORTED", "queue", name, "it is a stream: a consumer of one has no other queues")
  end
end

local function enter(prefix, name, old, queue_name, record)
  local wake_key, users_key = prefix .. "wake:" .. queue_name, prefix .. "users:" .. queue_name
  if redis.call("EXISTS", wake_key) == 0 then
    redis.call("XGROUP", "CREATE", wake_key, "g", "0", "MKSTREAM")
  end
  -- A second group, so that a token which calls those who read natively does not end with one who reads by script.
  if #redis.call("XINFO", "GROUPS", wake_key) < 2 then
    redis.call("XGROUP", "CREATE", wake_key, "m", "0")
  end
  -- A consumer that comes back keeps its age: the single active one stays it.
  local age = old ~= "" and redis.call("ZSCORE", users_key, old)
  local is_single = redis.call("HGET", prefix .. "choosy", queue_name) == "s"
  if not age then
    age = redis.call("HINCRBY", prefix .. "vhost", "next", 1)
    age = is_single and require("lib.choice").place(record.priority, age) or age
  end
  if redis.call("ZADD", users_key, "NX", age, name) == 1 then
    consumers.count(prefix, queue_name, record, 1)
  end
  if is_single then
    require("lib.choice").promote(prefix, queue_name)
  end
  if record.exclusive then
    redis.call("HSET", prefix .. "sole", queue_name, name)
  end
end

--- Writes the consumer's record and enters its queues.
function M.register(prefix, name, old, wanted, record)
  local packed = {}
  for i, queue in ipairs(wanted) do
    packed[i] = "q" .. pack.net(queue.name)
  end
  redis.call("HDEL", prefix .. "fences", name)
  local numbers = string.format("%.0f;%s;%.0f;%.0f;", record.timeout_ms, record.kind, record.prefetch, record.priority)
  local text = numbers .. pack.net(table.concat(packed)) .. pack.net(record.session) .. record.info
  redis.call("HSET", prefix .. "consumers", name, text)
  redis.call("SADD", prefix .. "session:" .. record.session, "c" .. name)
  if record.kind == "m" and redis.call("EXISTS", prefix .. "bell:" .. name) == 0 then
    redis.call("XGROUP", "CREATE", prefix .. "bell:" .. name, "m", "0", "MKSTREAM")
  end
  if record.kind ~= "g" then -- which is not among the queue's users, so the queue's deletion would not take its fence
    redis.call("HSET", prefix .. "fences", name, require("lib.traces").fence(prefix, name))
  end
  for _, queue in ipairs(wanted) do
    if record.kind ~= "g" then
      enter(prefix, name, old, queue.name, record)
    end
    require("lib.due").plan(prefix, queue.name, clock.now_ms() + record.timeout_ms)
  end
end

--- Moves what its user was shown from the old name to the new one, gives the rest back; the ids that are its own now. One that
-- was frozen may have read on under a name that was reaped before: nobody but itself looks for that.
function M.take_over(prefix, name, old, queue, repeated)
  local inherited, rows, kept = {}, 1000, {}
  while old ~= "" and rows == 1000 do
    rows = consumers.release(prefix, old, queue.name, 1000, { seen = queue.seen, heir = name, inherited = inherited })
  end
  for id in pairs(repeated and queue.seen or {}) do
    local row = redis.call("XPENDING", prefix .. "stream:" .. queue.name, "g", id, id, 1, name)[1]
    inherited[id] = row and true
  end
  for id in pairs(inherited) do
    kept[#kept + 1] = id
  end
  return kept
end

--- Sees to it that a new consumer is woken for what is there, and that those who still read natively come to ask.
function M.greet(prefix, queue_name, kind)
  local ready = queues.counts(prefix, queue_name)
  local given_back = tonumber(redis.call("HGET", prefix .. "returned", queue_name) or 0)
  if given_back > 0 or kind == "m" and ready > 0 then
    returns.post(prefix, queue_name)
  end
  if kind ~= "m" or not consumers.must_ask(prefix, queue_name) then
    return
  end
  local managed = tonumber(redis.call("HGET", prefix .. "managed", queue_name) or 0)
  if redis.call("ZCARD", prefix .. "users:" .. queue_name) > managed then
    local wake_key = prefix .. "wake:" .. queue_name
    redis.call("XADD", wake_key, "NOMKSTREAM", "MAXLEN", 1, "*", "t", "1")
    if redis.call("HEXISTS", prefix .. "choosy", queue_name) == 1 then
      -- Where it matters whose turn it is, those who read by script have their bells: for them it counts as read.
      redis.call("XREADGROUP", "GROUP", "m", "-", "NOACK", "STREAMS", wake_key, ">")
    end
  elseif redis.call("HGET", prefix .. "measures", queue_name) == "-" then
    require("lib.measure").start(prefix, queue_name) -- what is read natively is not counted, and nobody does any more
  end
end

return M
