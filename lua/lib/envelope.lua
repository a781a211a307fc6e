--- A message's envelope (rexchange/message.py): netstrings of exchange, routing key, properties, headers, and a table of
-- what the broker keeps for itself: `d` the x-death header is ours, `k` keys of BCC.
local pack = require("lib.pack")
local typed = require("lib.typed")
local M = {}

function M.read(text)
  local parts = typed.rows(text)
  return {
    exchange = parts[1],
    key = parts[2],
    properties = typed.rows(parts[3]),
    headers = typed.rows(parts[4]),
    own = typed.rows(parts[5] or ""),
  }
end

function M.write(message)
  local text = pack.net(message.exchange)
    .. pack.net(message.key)
    .. pack.net(typed.write(message.properties))
    .. pack.net(typed.write(message.headers))
  return #message.own > 0 and text .. pack.net(typed.write(message.own)) or text
end

local function priority(message)
  return tonumber(string.sub(typed.get(message.properties, "priority") or "i0", 2))
end

--- The priority that its publisher gave a message, 0 where it gave none.
function M.priority(text)
  return priority(M.read(text))
end

--- Expiration and priority, as a publish tells them (lib/options.lua).
function M.options(message)
  return { x = tonumber(string.sub(typed.get(message.properties, "expiration") or "", 2)), p = priority(message) }
end

--- The keys by which it is routed besides its routing key: those of CC, then those of BCC.
function M.more_keys(message)
  local more = typed.strings(typed.get(message.headers, "CC"))
  for _, key in ipairs(typed.strings(typed.get(message.own, "k"))) do
    more[#more + 1] = key
  end
  return more
end

return M
