--- Whether somebody may work with the messages of a queue.
local queues = require("lib.queues")
local M = {}

--- Why not, as a reply: the queue is missing, another session's, or broken; nil where nothing is in the way.
function M.refusal(prefix, name, session)
  local queue = queues.read(prefix, name)
  if not queue then
    return queues.missing(prefix, name)
  end
  local refusal = queues.locked(queue, name, session) or queues.broken(prefix, name, queue)
  return type(refusal) == "string" and redis.error_reply(refusal) or refusal
end

return M
