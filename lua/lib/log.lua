--- A stream queue (x-queue-type: stream): entries stay when they are consumed, and go by age or size. Each has its offset, field
-- `o`; every hundredth is in `marks:<queue>`, so that an offset is found without walking all of them.
local clock = require("lib.clock")
local M = {}

local EVERY = 100
--- So many old entries go in one call; the next one goes on.
local PAGE = 100

local function shorten(prefix, queue, now_ms)
  local traits, count = queue.traits, 0
  local bytes = tonumber(redis.call("HGET", prefix .. "bytes", queue.name) or 0)
  while count < PAGE do
    local entry = redis.call("XRANGE", queue.key, "-", "+", "COUNT", 1)[1]
    local is_old = entry and traits.age and now_ms - tonumber(string.match(entry[1], "^%d+")) > traits.age
    -- The newest stays, whatever its size: RabbitMQ too keeps the segment that is being written.
    if not entry or not (is_old or traits.bytes and bytes > traits.bytes and redis.call("XLEN", queue.key) > 1) then
      return
    end
    redis.call("XDEL", queue.key, entry[1])
    redis.call("ZREMRANGEBYSCORE", prefix .. "marks:" .. queue.name, "-inf", entry[2][6])
    if traits.bytes then
      bytes = redis.call("HINCRBY", prefix .. "bytes", queue.name, 0 - #entry[2][4]) -- a negative zero is no number for Redis
    end
    count = count + 1
  end
end

--- Appends a message; always true: a stream refuses nothing.
function M.append(state, queue, envelope, body)
  local prefix = state.prefix
  local offset = redis.call("HINCRBY", prefix .. "offsets", queue.name, 1) - 1
  local id = redis.call("XADD", queue.key, "*", "m", envelope, "b", body, "o", clock.text(offset))
  if offset % EVERY == 0 then
    redis.call("ZADD", prefix .. "marks:" .. queue.name, clock.text(offset), id)
  end
  if queue.traits.bytes then
    redis.call("HINCRBY", prefix .. "bytes", queue.name, #body)
  end
  if queue.traits.bytes or queue.traits.age then
    shorten(prefix, queue, state.now_ms)
  end
  if queue.traits.trace then
    require("lib.trace").arrived(state, queue, envelope)
  end
  return true
end

--- Drops what is too old while nobody publishes.
function M.shorten(state, queue)
  shorten(state.prefix, queue, state.now_ms)
end

--- The id before `id`: reads begin after what they are told.
local function before(id)
  local ms, sequence = string.match(id, "^(%d+)%-(%d+)$")
  if sequence ~= "0" then
    return ms .. "-" .. clock.text(tonumber(sequence) - 1)
  end
  return clock.text(math.max(tonumber(ms) - 1, 0)) .. "-18446744073709551615"
end

local function at_offset(prefix, queue_name, offset)
  local key = prefix .. "stream:" .. queue_name
  local mark = redis.call("ZRANGEBYSCORE", prefix .. "marks:" .. queue_name, offset - EVERY, offset)
  for _, entry in ipairs(redis.call("XRANGE", key, mark[#mark] or "-", "+", "COUNT", EVERY + 1)) do
    if tonumber(entry[2][6]) >= offset then
      return before(entry[1])
    end
  end
  local last = redis.call("XREVRANGE", key, "+", "-", "COUNT", 1)[1]
  return last and last[1] or "0-0"
end

--- The id after which a reader begins: `word` first, last, next, offset, time (ms) or age (ms), with `value` for the last three.
function M.seek(prefix, queue_name, word, value)
  local key = prefix .. "stream:" .. queue_name
  if word == "first" then
    return "0-0"
  elseif word == "offset" then
    return at_offset(prefix, queue_name, tonumber(value))
  elseif word == "time" then
    return before(value .. "-0")
  elseif word == "age" then
    return before(clock.text(math.max(clock.now_ms() - tonumber(value), 0)) .. "-0")
  end
  local last = redis.call("XREVRANGE", key, "+", "-", "COUNT", 1)[1]
  if word == "last" and last then
    return before(last[1])
  end
  return require("lib.queues").last(prefix, queue_name)
end

return M
