--- The delivery limit: a message that was handed out more often than the queue allows dies when it comes back.
local arrivals = require("lib.arrivals")
local departure = require("lib.departure")
local M = {}

--- Takes out of the queue those of `ids` whose last delivery was one too many; the others are returned.
function M.weed(state, name, limit, ids)
  local queue, kept = arrivals.queue(state, name), {}
  for _, id in ipairs(ids) do
    local row = redis.call("XPENDING", queue.key, "g", id, id, 1)[1]
    local entry = row and row[4] > limit and redis.call("XRANGE", queue.key, id, id)[1]
    if entry then
      arrivals.died(state, queue, entry[2], "delivery_limit")
      departure.leave(state.prefix, name, entry, 1, 1)
    else
      kept[#kept + 1] = id
    end
  end
  return kept
end

return M
