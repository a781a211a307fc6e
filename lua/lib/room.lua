--- Whether there is room for all messages of a group, asked before anything is written: in queues with limits, of a publisher that
-- would rather wait than be refused in part or drive out what is there, and of a transaction; and in a vhost with a limit.
local arrivals = require("lib.arrivals")
local M = {}

--- The queues that get the messages of a run now: one that waits for its time is for none.
local function queues_of(group, run)
  local special = group.special and group.special[run]
  local options = special and special.options
  return options and (options.l or options.a) and {} or group[run]
end

--- What queues refuse that are full, or would be after the messages before: number of the message and queue, in turn.
local function refusals(state, group, message_args)
  local taken, refused, number = {}, {}, 0
  for run = 1, #group, 3 do
    for message = group[run + 1], group[run + 1] + 2 * group[run + 2] - 2, 2 do
      local bytes = #message_args[message + 1]
      for _, name in ipairs(queues_of(group, run)) do
        local before = taken[name] or { count = 0, bytes = 0 }
        taken[name] = before
        if arrivals.takes(state, arrivals.queue(state, name), bytes, before, group.patient) then
          before.count, before.bytes = before.count + 1, before.bytes + bytes
        else
          refused[#refused + 1], refused[#refused + 2] = number, name
        end
      end
      number = number + 1
    end
  end
  return refused
end

--- The refusal of a group as publish answers it; nil where all of it fits. `limit`: that of the vhost, if it has one.
function M.refusal(prefix, state, limit, group, message_args)
  local refused = state and refusals(state, group, message_args) or {}
  if #refused > 0 then
    return require("lib.counts").none(group, refused)
  end
  return limit and require("lib.quota").refusal(prefix, limit, group)
end

return M
