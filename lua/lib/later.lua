--- Messages that wait for their time (x-delayed-message): `later` holds number -> due time, `parcels` number -> what to route.
local clock = require("lib.clock")
local pack = require("lib.pack")
local typed = require("lib.typed")
local M = {}

--- Keeps a message. Call it after a write, or as the first one that may be refused.
function M.keep(prefix, now_ms, effect, envelope, body, options)
  local number = clock.text(redis.call("HINCRBY", prefix .. "vhost", "next", 1))
  local due_ms = now_ms + effect.delay_ms
  local numbers = clock.text(options.x or -1) .. " " .. clock.text(options.p or 0)
  local parcel = pack.net(effect.later) .. pack.net(effect.key) .. pack.net(effect.headers) .. pack.net(numbers)
  parcel = parcel .. pack.net(typed.write(effect.more)) .. pack.net(envelope) .. pack.net(body)
  redis.call("HSET", prefix .. "parcels", number, parcel)
  redis.call("ZADD", prefix .. "later", clock.text(due_ms), number)
  require("lib.due").alarm(prefix, due_ms)
end

--- Turns the sign of x-delay, as the plugin does: no exchange further on delays the message again, nor does this one.
local function is_due(parts)
  local envelope = require("lib.envelope")
  local message = envelope.read(parts[6])
  local delay = string.sub(typed.get(message.headers, "x-delay") or "", 2)
  typed.set(message.headers, "x-delay", "i-" .. delay)
  parts[3], parts[6] = typed.canonical(typed.write(message.headers)), envelope.write(message)
end

local function send(state, parcel)
  local router, arrivals = require("lib.router"), require("lib.arrivals")
  local parts = typed.rows(parcel)
  local x, p = string.match(parts[4], "^(%S+) (%S+)$")
  local options = { x = tonumber(x) >= 0 and tonumber(x) or nil, p = tonumber(p) }
  is_due(parts)
  local calls = state.calls
  calls.effects, calls.message = false, parts[6]
  for _, name in ipairs(router.route(calls, parts[1], parts[2], parts[3], typed.rows(parts[5])) or {}) do
    local queue = arrivals.queue(state, name)
    if queue then
      arrivals.put(state, queue, parts[6], parts[7], options)
    end
  end
  if calls.effects then
    require("lib.effects").apply(state, calls.effects, parts[6], parts[7], options)
  end
end

--- Routes what is due, at most `limit` messages; how many.
function M.release(prefix, now_ms, limit)
  local later_key, parcels_key = prefix .. "later", prefix .. "parcels"
  local numbers = redis.call("ZRANGEBYSCORE", later_key, "-inf", clock.text(now_ms), "LIMIT", 0, limit)
  if #numbers == 0 then
    return 0
  end
  local state = require("lib.arrivals").new(prefix, require("lib.router").new(prefix))
  for _, number in ipairs(numbers) do
    local parcel = redis.call("HGET", parcels_key, number)
    redis.call("ZREM", later_key, number)
    redis.call("HDEL", parcels_key, number)
    if parcel then
      state.calls.routes = {} -- a route found for one message need not hold for the next
      send(state, parcel)
    end
  end
  require("lib.arrivals").finish(state)
  return #numbers
end

return M
