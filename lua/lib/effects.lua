--- What exchanges do with a message besides routing it: keep it for later (x-delayed-message), or for those who are bound later
-- (x-recent-history).
local pack = require("lib.pack")
local typed = require("lib.typed")
local M = {}

--- RabbitMQ's plugin keeps so many where nothing is said.
local KEPT = 20

local function remember(prefix, exchange, headers, envelope, body)
  if typed.get(typed.rows(headers), "x-recent-history-no-store") == "t" then
    return
  end
  local length = typed.values(string.sub(exchange.record, exchange.arguments))["x-recent-history-length"] or KEPT
  local key = prefix .. "history:" .. exchange.name
  redis.call("RPUSH", key, pack.net(envelope) .. pack.net(body))
  redis.call("LTRIM", key, -length, -1)
end

--- Does it for one message.
function M.apply(state, effects, envelope, body, options)
  for _, effect in ipairs(effects) do
    if effect.later then
      require("lib.later").keep(state.prefix, state.now_ms, effect, envelope, body, options)
    else
      remember(state.prefix, effect.history, effect.headers, envelope, body)
    end
  end
end

--- Sends what an exchange remembers to what was bound to it just now, oldest first.
function M.replay(prefix, exchange_name, kind, destination)
  local kept = redis.call("LRANGE", prefix .. "history:" .. exchange_name, 0, -1)
  local arrivals, router = require("lib.arrivals"), require("lib.router")
  local state = arrivals.new(prefix, router.new(prefix))
  for _, packed in ipairs(kept) do
    local envelope, after = pack.read(packed, 1)
    local body = pack.read(packed, after)
    local message = require("lib.envelope").read(envelope)
    local headers = typed.canonical(typed.write(message.headers))
    state.calls.routes, state.calls.effects, state.calls.message = {}, false, envelope
    local names = kind == "q" and { destination } or router.route(state.calls, destination, message.key, headers) or {}
    for _, name in ipairs(names) do
      local queue = arrivals.queue(state, name)
      if queue then
        arrivals.put(state, queue, envelope, body, { p = require("lib.envelope").priority(envelope) })
      end
    end
  end
  arrivals.finish(state)
end

return M
