--- Whether an exchange of type x-delayed-message keeps a message for later (lib/later.lua does it).
local typed = require("lib.typed")
local M = {}

--- RabbitMQ's plugin takes a longer delay, or a negative one, for none.
local LONGEST_MS = 4294967295

--- Whether an exchange of this type keeps the message for later: then the call's effects say so.
function M.wants(calls, exchange, key, headers, more)
  calls.by_headers = true -- what is found for one message need not hold for the next of its key
  local delay = typed.get(typed.rows(headers), "x-delay")
  local delay_ms = delay and string.sub(delay, 1, 1) == "i" and tonumber(string.sub(delay, 2)) or 0
  if delay_ms <= 0 or delay_ms > LONGEST_MS then
    return false
  end
  calls.varies = true
  calls.effects = calls.effects or {}
  table.insert(calls.effects, { later = exchange.name, delay_ms = delay_ms, key = key, headers = headers, more = more or {} })
  return true
end

return M
