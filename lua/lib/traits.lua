--- What a queue is beyond a plain one: TTL, limits, dead-letter exchange and so on, as rexchange/traits.py writes them from
-- its arguments and its policy. A plain queue has no record.
local typed = require("lib.typed")
local M = {}

--- Those of a plain queue; nobody writes to it.
M.PLAIN = {}

--- A record that begins with "-" has nothing that matters on arrival (rexchange/traits.py).
function M.parse(text)
  return text and typed.values(string.sub(text, 1, 1) == "-" and string.sub(text, 2) or text) or M.PLAIN
end

function M.read(prefix, name)
  return M.parse(redis.call("HGET", prefix .. "traits", name))
end

--- Whether something must be noted of every entry that becomes ready or ceases to be: then all is read by script.
function M.tracked(traits)
  return traits.priority or traits.bytes and traits.kind ~= "stream"
end

--- Whether consumers read by script (take): the native read knows neither time nor order nor whose turn it is.
function M.managed(traits)
  return traits.ttl or traits.priority or traits.bytes or traits.single or traits.kind == "stream" or traits.trace
end

return M
