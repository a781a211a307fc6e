--- The one way out of a queue. Later features (byte counts, shared bodies) hook in here and nowhere else.
local M = {}

--- Settles ids[first..last] for good, in pages: unpack takes less than 8,000.
function M.leave(stream_key, ids, first, last)
  for from = first, last, 2000 do
    local to = from + 1999 < last and from + 1999 or last
    redis.call("XACK", stream_key, "g", unpack(ids, from, to))
    redis.call("XDEL", stream_key, unpack(ids, from, to))
  end
end

return M
