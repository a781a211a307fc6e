--- Rejected deliveries of a queue that may have a dead-letter exchange: they die there, in the step that rejects them.
local arrivals = require("lib.arrivals")
local departure = require("lib.departure")
local M = {}

--- Takes ids[first..last] out of the queue for good.
function M.leave(prefix, name, ids, first, last)
  local state = arrivals.new(prefix)
  local queue, dead = arrivals.queue(state, name), {}
  if queue and (queue.traits.dlx or queue.traits.trace) then
    for i = first, last do
      dead[#dead + 1] = redis.call("XRANGE", queue.key, ids[i], ids[i])[1]
    end
  end
  for _, entry in ipairs(dead) do
    arrivals.died(state, queue, entry[2], "rejected")
  end
  departure.leave(prefix, name, ids, first, last)
  arrivals.finish(state)
end

return M
