--- Messages that wait for their time: `later` holds number -> due time, `parcels` number -> what is to be done with it then:
-- `s` (published with a delay) netstrings of envelope, body and, where it has one, key of deduplication, to be routed;
-- `q` (a queue was full when it was due) netstrings of the queue, envelope and body, to be put into that one;
-- else (x-delayed-message) netstrings of exchange, key, headers, "<expiration> <priority>", keys of CC, envelope and body.
local clock = require("lib.clock")
local envelope = require("lib.envelope")
local pack = require("lib.pack")
local typed = require("lib.typed")
local M = {}

--- What a full queue refuses when it is due comes again after so long.
local AGAIN_MS = 1000

local function put_away(prefix, due_ms, parcel)
  local number = clock.text(redis.call("HINCRBY", prefix .. "vhost", "next", 1))
  redis.call("HSET", prefix .. "parcels", number, parcel)
  redis.call("ZADD", prefix .. "later", clock.text(due_ms), number)
  require("lib.due").alarm(prefix, due_ms)
  return number
end

--- Keeps a message for an exchange that delays it. Call it after a write, or as the first one that may be refused.
function M.keep(prefix, now_ms, effect, envelope_text, body, options)
  local numbers = clock.text(options.x or -1) .. " " .. clock.text(options.p or 0)
  local parcel = pack.net(effect.later) .. pack.net(effect.key) .. pack.net(effect.headers) .. pack.net(numbers)
  parcel = parcel .. pack.net(typed.write(effect.more)) .. pack.net(envelope_text) .. pack.net(body)
  put_away(prefix, now_ms + effect.delay_ms, parcel)
end

--- Keeps a message that its publisher wants to be routed later; returns the id under which it can be cancelled. The part after
-- the number is the vhost's own, so that an id from before a FLUSHALL means no other message.
function M.schedule(state, due_ms, envelope_text, body, key)
  local number = put_away(state.prefix, due_ms, "s" .. pack.net(envelope_text) .. pack.net(body) .. (key and pack.net(key) or ""))
  state.epoch = state.epoch or M.epoch(redis.call("HGET", state.prefix .. "vhost", "id"))
  return number .. "." .. state.epoch
end

function M.epoch(vhost_id)
  return string.match(vhost_id, "^%d+%.(%w%w%w%w%w%w)")
end

--- Turns the sign of x-delay, as the plugin does: no exchange further on delays the message again, nor does this one.
local function is_due(parts)
  local message = envelope.read(parts[6])
  local delay = string.sub(typed.get(message.headers, "x-delay") or "", 2)
  typed.set(message.headers, "x-delay", "i-" .. delay)
  parts[3], parts[6] = typed.canonical(typed.write(message.headers)), envelope.write(message)
end

--- Puts a message into a queue; a full one that refuses gets it later, since nobody is there to be told (one that dead-letters
-- what it refuses has done so).
local function put(state, name, text, body, options)
  local queue = require("lib.arrivals").queue(state, name)
  local taken = queue and require("lib.arrivals").put(state, queue, text, body, options)
  if queue and not taken and queue.traits.overflow ~= "reject-publish-dlx" then
    local whole = type(body) == "table" and body.text or body
    put_away(state.prefix, state.now_ms + AGAIN_MS, "q" .. pack.net(name) .. pack.net(text) .. pack.net(whole))
  end
end

local function route(state, exchange, key, headers, more, text, body, options)
  local calls = state.calls
  calls.routes, calls.effects, calls.message = {}, false, text -- a route found for one message need not hold for the next
  local queues = require("lib.router").route(calls, exchange, key, headers, more) or {}
  local carried = #queues > 1 and #body >= require("lib.planning").LARGE and require("lib.bodies").large(body) or body
  for _, name in ipairs(queues) do
    put(state, name, text, carried, options)
  end
  if calls.effects then
    require("lib.effects").apply(state, calls.effects, text, body, options)
  end
end

local function send(state, parcel)
  local kind = string.sub(parcel, 1, 1)
  if kind == "s" then
    local parts = typed.rows(string.sub(parcel, 2))
    local message = envelope.read(parts[1])
    local headers = typed.canonical(typed.write(message.headers))
    route(state, message.exchange, message.key, headers, envelope.more_keys(message), parts[1], parts[2], envelope.options(message))
  elseif kind == "q" then
    local parts = typed.rows(string.sub(parcel, 2))
    put(state, parts[1], parts[2], parts[3], envelope.options(envelope.read(parts[2])))
  else
    local parts = typed.rows(parcel)
    local x, p = string.match(parts[4], "^(%S+) (%S+)$")
    local options = { x = tonumber(x) >= 0 and tonumber(x) or nil, p = tonumber(p) }
    is_due(parts)
    route(state, parts[1], parts[2], parts[3], typed.rows(parts[5]), parts[6], parts[7], options)
  end
end

--- Takes a message out; what was kept of it, or nil.
function M.take(prefix, number)
  local parcel = redis.call("HGET", prefix .. "parcels", number)
  redis.call("HDEL", prefix .. "parcels", number)
  redis.call("ZREM", prefix .. "later", number)
  return parcel
end

--- Takes out one that is not to come; what was kept of it, or nil. The key of deduplication that it had is free again.
function M.cancel(prefix, number, vhost_id)
  local parcel = M.take(prefix, number)
  local key = parcel and string.sub(parcel, 1, 1) == "s" and typed.rows(string.sub(parcel, 2))[3]
  if key then
    require("lib.fates").free(prefix, key, number .. "." .. M.epoch(vhost_id))
  end
  return parcel
end

--- Does with what is due what is to be done with it, at most `limit` messages; how many.
function M.release(prefix, now_ms, limit)
  local numbers = redis.call("ZRANGEBYSCORE", prefix .. "later", "-inf", clock.text(now_ms), "LIMIT", 0, limit)
  if #numbers == 0 then
    return 0
  end
  local state = require("lib.arrivals").new(prefix, require("lib.router").new(prefix))
  for _, number in ipairs(numbers) do
    local parcel = M.take(prefix, number)
    if parcel then
      send(state, parcel)
    end
  end
  require("lib.arrivals").finish(state)
  return #numbers
end

return M
