--- A group of messages that is published in one step with other work: all that could refuse it is asked before the first write.
local arrivals = require("lib.arrivals")
local pack = require("lib.pack")
local planning = require("lib.planning")
local M = {}

--- Calls `each(number, message, queue)` for every message and each of its queues: number from 0, message its place in the
-- arguments. Returns how many messages there are.
local function for_each(job, each)
  local group, number = job.group, 0
  for run = 1, #group, 3 do
    for offset = 0, group[run + 2] - 1 do
      for _, name in ipairs(group[run]) do
        each(number, group[run + 1] + 2 * offset, arrivals.queue(job.state, name))
      end
      number = number + 1
    end
  end
  return number
end

--- What queues that are full, or would be after the messages before, refuse; as publish tells it, but nobody got anything.
local function full(job)
  local taken, parts = {}, {}
  local count = for_each(job, function(number, message, queue)
    local before, bytes = taken[queue.name] or { count = 0, bytes = 0 }, #job.args[message + 1]
    taken[queue.name] = before
    if arrivals.takes(job.state, queue, bytes, before) then
      before.count, before.bytes = before.count + 1, before.bytes + bytes
    else
      parts[#parts + 1] = pack.net(tostring(number)) .. pack.net(queue.name)
    end
  end)
  if #parts > 0 then
    return "~" .. pack.net(pack.net(string.rep("0,", count - 1) .. "0") .. table.concat(parts))
  end
end

--- Works out where the group at `at` goes; or returns why it is refused, as publish answers it.
function M.plan(prefix, args, at)
  local plan = planning.new(prefix, args)
  local group = planning.group(plan, at)
  if group.refused then
    return nil, "-" .. pack.net(group.refused)
  elseif #group.unroutable > 0 then
    return nil, "!" .. table.concat(group.unroutable, ",")
  end
  local job = { prefix = prefix, args = args, plan = plan, group = group, state = arrivals.new(prefix, plan.calls) }
  return job, full(job)
end

--- Publishes it and returns what publish answers.
function M.write(job)
  local running, group = require("lib.running"), job.group
  for run = 1, #group, 3 do
    running.run(job.state, group, run, job.args)
  end
  for _, name in ipairs(job.plan.targets) do
    if redis.call("HEXISTS", job.prefix .. "managed", name) == 1 then
      require("lib.returns").post(job.prefix, name)
    end
  end
  arrivals.finish(job.state)
  if #job.plan.calls.fills > 0 then
    require("lib.cache").fill(job.prefix, job.plan.calls.fills)
  end
  return require("lib.counts").of(group)
end

return M
