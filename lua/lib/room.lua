--- Whether there is room for all messages of a group, asked before anything is written: in queues with limits, for a publisher
-- that would rather wait than be refused in part or drive out what is there; and in a vhost with a limit.
local arrivals = require("lib.arrivals")
local counts = require("lib.counts")
local M = {}

--- What each queue with limits would get: messages, bytes, and the number of the first in the group.
local function shares(state, group, message_args)
  local found, names, number = {}, {}, 0
  for run = 1, #group, 3 do
    local first, count, size = group[run + 1], group[run + 2], 0
    for message = first, first + 2 * count - 2, 2 do
      size = size + #message_args[message + 1]
    end
    for _, name in ipairs(group[run]) do
      local queue = arrivals.queue(state, name)
      local traits = queue and queue.traits or {}
      if (traits.length or traits.bytes) and traits.kind ~= "stream" then
        if not found[name] then
          found[name] = { queue = queue, number = number, count = 0, size = 0 }
          names[#names + 1] = name
        end
        found[name].count, found[name].size = found[name].count + count, found[name].size + size
      end
    end
    number = number + count
  end
  return found, names
end

local function fits(state, share)
  local queue, traits = share.queue, share.queue.traits
  arrivals.measure(state, queue)
  local behind = queue.ready + share.count - queue.room -- what consumers have room for is not in the queue for it
  if traits.length and (behind > traits.length or traits.overflow and traits.length == 0) then
    return false
  end
  return not traits.bytes or queue.measuring or behind <= 0 or queue.bytes + share.size <= traits.bytes
end

--- The refusal of publish for a group that a full queue would refuse (a patient one), or the vhost; "" where all of it fits.
function M.admit(state, limit, group, message_args)
  local found, names = shares(state, group, message_args)
  local refused = {}
  for _, name in ipairs(group.patient and names or {}) do
    if not fits(state, found[name]) then
      refused[#refused + 1], refused[#refused + 2] = found[name].number, name
    end
  end
  if #refused > 0 then
    return counts.none(group, refused)
  end
  return limit and require("lib.quota").answer(state.prefix, limit, group) or ""
end

return M
