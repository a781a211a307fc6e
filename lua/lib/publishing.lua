--- A group of messages that is published in one step with other work: all that could refuse it is asked before the first write.
local planning = require("lib.planning")
local M = {}

--- Which of the queues have a field in a hash by queue.
local function marked(job, hash)
  local found, targets = {}, job.plan.targets
  for first = 1, #targets, 1000 do
    local values = redis.call("HMGET", job.prefix .. hash, unpack(targets, first, math.min(first + 999, #targets)))
    for i = 1, #values do
      if values[i] then
        found[#found + 1] = targets[first + i - 1]
      end
    end
  end
  return found
end

--- Calls `each(queue, message, number)` for every message and each of its queues: the queue's name, the message's place in the
-- arguments, its number from 0. Returns how many messages there are.
local function for_each(group, each)
  local number = 0
  for run = 1, #group, 3 do
    for offset = 0, group[run + 2] - 1 do
      for _, name in ipairs(group[run]) do
        each(name, group[run + 1] + 2 * offset, number)
      end
      number = number + 1
    end
  end
  return number
end

--- What queues that are full, or would be after the messages before, refuse; as publish tells it, but nobody got anything.
local function full(job)
  local arrivals, pack = require("lib.arrivals"), require("lib.pack")
  local taken, parts = {}, {}
  local count = for_each(job.group, function(name, message, number)
    local before, bytes = taken[name] or { count = 0, bytes = 0 }, #job.args[message + 1]
    taken[name] = before
    if arrivals.takes(job.state, arrivals.queue(job.state, name), bytes, before) then
      before.count, before.bytes = before.count + 1, before.bytes + bytes
    else
      parts[#parts + 1] = pack.net(tostring(number)) .. pack.net(name)
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
    return nil, "-" .. #group.refused .. ":" .. group.refused
  elseif #group.unroutable > 0 then
    return nil, "!" .. table.concat(group.unroutable, ",")
  end
  local job = { prefix = prefix, args = args, plan = plan, group = group }
  if group.special or #marked(job, "traits") > 0 then
    job.state = require("lib.arrivals").new(prefix, plan.calls)
    return job, full(job)
  end
  return job
end

--- Publishes it and returns what publish answers.
function M.write(job)
  local group, args = job.group, job.args
  for run = 1, job.state and #group or 0, 3 do
    require("lib.running").run(job.state, group, run, args)
  end
  if not job.state then
    for_each(group, function(name, message)
      redis.call("XADD", job.plan.streams[name], "*", "m", args[message], "b", args[message + 1])
    end)
  end
  for _, name in ipairs(marked(job, "managed")) do
    require("lib.returns").post(job.prefix, name)
  end
  if job.state then
    require("lib.arrivals").finish(job.state)
  end
  if #job.plan.calls.fills > 0 then
    require("lib.cache").fill(job.prefix, job.plan.calls.fills)
  end
  return require("lib.counts").of(group)
end

return M
