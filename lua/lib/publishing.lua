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
  local vhost = redis.call("HMGET", prefix .. "vhost", "limit", "keyed")
  if group.special or vhost[2] or #marked(job, "traits") > 0 then
    job.state = require("lib.arrivals").new(prefix, plan.calls, vhost[2])
  end
  local room = require("lib.room")
  local refusal = job.state and room.full(job.state, group, args)
  if vhost[1] and not refusal then
    job.copies = room.copies(group)
    refusal = require("lib.quota").refusal(prefix, vhost[1], job.copies)
  end
  return job, refusal
end

--- Appends the messages of a run of which no queue is more than plain.
local function append(job, names, first, count)
  local args = job.args
  for message = first, first + 2 * count - 2, 2 do
    if #names > 1 and #args[message + 1] >= planning.LARGE then
      require("lib.bodies").append(job.prefix, names, args[message], args[message + 1])
    else
      for _, name in ipairs(names) do
        redis.call("XADD", job.plan.streams[name], "*", "m", args[message], "b", args[message + 1])
      end
    end
  end
end

--- Publishes it and returns what publish answers.
function M.write(job)
  local group, args = job.group, job.args
  if job.copies then
    require("lib.quota").add(job.prefix, job.copies)
  end
  for run = 1, job.state and #group or 0, 3 do
    require("lib.running").run(job.state, group, run, args)
  end
  for run = 1, job.state and 0 or #group, 3 do
    append(job, group[run], group[run + 1], group[run + 2])
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
