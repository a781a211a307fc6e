--- The one way out of a queue. Later features (byte counts, shared bodies) hook in here and nowhere else.
local M = {}

--- Settles ARGV[first..last] for good: at most 1,000 ids.
function M.leave(stream_key, ids, first, last)
  redis.call("XACK", stream_key, "g", unpack(ids, first, last))
  redis.call("XDEL", stream_key, unpack(ids, first, last))
end

return M
