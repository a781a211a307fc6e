--- Whether there is room for all messages of a group, asked before anything is written: in queues with limits, of a publisher that
-- would rather wait than be refused in part or drive out what is there, and of a transaction; and in a vhost with a limit.
local arrivals = require("lib.arrivals")
local M = {}

local NONE = {}

--- The queues that the messages of a run come into now, and how many of them do: one that waits for its time comes into none yet,
-- one whose key was seen is not published again. `seen` holds the keys of the runs before.
local function share(group, run, seen)
  local special = group.special and group.special[run] or NONE
  local options, count = special.options or NONE, group[run + 2]
  if options.d then
    count = seen[options.d] and 0 or 1
    seen[options.d] = true
  end
  return (options.l or options.a) and NONE or group[run], count, special
end

--- How many messages a group adds to its vhost: each copy in a queue, and each that waits for its time.
function M.copies(group)
  local sum, seen = 0, {}
  for run = 1, #group, 3 do
    local queues, count, special = share(group, run, seen)
    local options, waiting = special.options or NONE, 0
    if options.l or options.a then
      waiting = special.fate and 0 or 1
    end
    for _, effect in ipairs(special.effects or NONE) do
      waiting = waiting + (effect.later and 1 or 0)
    end
    sum = sum + count * (#queues + waiting)
  end
  return sum
end

--- What publish answers where queues are full, or would be after the messages before: nothing of the group is written; nil where
-- all of it fits.
function M.full(state, group, message_args)
  local taken, refused, seen, number = {}, {}, {}, 0
  for run = 1, #group, 3 do
    local queues, count = share(group, run, seen)
    for offset = 0, count - 1 do
      local bytes = arrivals.size_of(message_args[group[run + 1] + 2 * offset + 1])
      for _, name in ipairs(queues) do
        local before = taken[name] or { count = 0, bytes = 0 }
        taken[name] = before
        if arrivals.takes(state, arrivals.queue(state, name), bytes, before, group.patient) then
          before.count, before.bytes = before.count + 1, before.bytes + bytes
        else
          refused[#refused + 1], refused[#refused + 2] = number + offset, name
        end
      end
    end
    number = number + group[run + 2]
  end
  return #refused > 0 and require("lib.counts").none(group, refused) or nil
end

--- The same for a publish: its queues where it would wait for them, and the vhost, in which what is let in counts from now on.
-- `limit`: that of the vhost, if it has one.
function M.refusal(prefix, state, limit, group, message_args)
  local full = group.patient and M.full(state, group, message_args)
  if full or not limit then
    return full or nil
  end
  local quota, more = require("lib.quota"), M.copies(group)
  local refusal = quota.refusal(prefix, limit, more)
  if not refusal then
    quota.add(prefix, more)
  end
  return refusal
end

return M
