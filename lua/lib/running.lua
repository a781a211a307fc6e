--- A run of messages of which some queue is more than plain, or which do more than go to queues.
local arrivals = require("lib.arrivals")
local M = {}

local NONE = {}

--- Appends the messages of one run; `refused` collects the message's number in its group and the queue that is full, in turn.
function M.run(state, group, run, message_args, refused)
  local queues, first, count = group[run], group[run + 1], group[run + 2]
  local special = group.special and group.special[run] or NONE
  local options, number = special.options or NONE, 0
  for i = 1, run - 1, 3 do
    number = number + group[i + 2]
  end
  local traced = state.tracing
  for _, name in ipairs(queues) do
    traced = traced or arrivals.queue(state, name).traits.trace
  end
  state.tracing = traced or false -- known, so that nobody asks
  for message = first, first + 2 * count - 2, 2 do
    local envelope, body = message_args[message], message_args[message + 1]
    if traced then
      envelope = require("lib.trace").published(state, envelope, #body, queues, special.effects)
    end
    for _, name in ipairs(queues) do
      if not arrivals.put(state, arrivals.queue(state, name), envelope, body, options) then
        refused = refused or {}
        refused[#refused + 1], refused[#refused + 2] = number, name
      end
    end
    if special.effects then
      require("lib.effects").apply(state, special.effects, envelope, body, options)
    end
    number = number + 1
  end
  return refused
end

return M
