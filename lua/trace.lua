--- Switch tracing on or off, or say what is traced.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] verb       on, off (its events go with the last one) or list
-- ARGV[3] id         of the trace, drawn by the caller; for off empty: all
-- ARGV[4] record     for on a table: queue, exchange, key, keep
-- ARGV[5] life_ms    for on: it ends by itself after so long
-- Returns whether there is more to do (1: call off again), then id and record of each trace that is on.
local vhost_key, vhost_id, verb, id, record, life_ms = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local clock, traces, typed = require("lib.clock"), require("lib.traces"), require("lib.typed")
local now_ms, more, traces_key = clock.now_ms(), 0, prefix .. "traces"
local MOST = 100 -- publish looks at each of them for each message
if verb == "on" and redis.call("HEXISTS", traces_key, id) == 0 then
  local rows, wanted = typed.rows(record), typed.values(record)
  if wanted.queue and redis.call("HEXISTS", prefix .. "queues", wanted.queue) == 0 then
    return require("lib.queues").missing(prefix, wanted.queue)
  elseif (wanted.exchange or "") ~= "" and redis.call("HEXISTS", prefix .. "exchanges", wanted.exchange) == 0 then
    return require("lib.refuse").reply("NOT_FOUND", "exchange", wanted.exchange, "no such exchange; declare it first")
  elseif redis.call("HLEN", traces_key) >= MOST then
    local name = string.match(vhost_key, "^rx:{(.*)}:vhost$")
    return require("lib.refuse").reply("PRECONDITION_FAILED", "vhost", name, "it has " .. MOST .. " traces; end some of them")
  end
  typed.set(rows, "number", "i" .. clock.text(redis.call("HINCRBY", vhost_key, "next", 1)))
  typed.set(rows, "begun", "i" .. clock.text(now_ms))
  typed.set(rows, "ends", "i" .. clock.text(now_ms + life_ms))
  redis.call("HSET", traces_key, id, typed.write(rows))
  if wanted.queue then
    traces.mark(prefix, wanted.queue)
  end
elseif verb == "off" then
  redis.call("HDEL", traces_key, id)
  if id == "" then
    redis.call("UNLINK", traces_key)
  end
  if redis.call("EXISTS", traces_key) == 0 then
    redis.call("UNLINK", prefix .. "trace")
  end
end
local on
if verb == "list" then
  on = traces.all(prefix, now_ms)
else
  local next_ms = traces.settle(prefix, now_ms)
  on = traces.all(prefix, now_ms)
  if next_ms then
    require("lib.due").alarm(prefix, next_ms)
    more = next_ms <= now_ms and 1 or 0
  end
end
local reply = { more }
for each in pairs(on) do
  reply[#reply + 1], reply[#reply + 2] = each, redis.call("HGET", traces_key, each)
end
return reply
