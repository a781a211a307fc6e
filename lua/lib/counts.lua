--- The answer of publish for a group that was written: how many queues each message reached.
local pack = require("lib.pack")
local M = {}

local function each(group)
  local counts = {}
  for run = 1, #group, 3 do
    for _ = 1, group[run + 2] do
      counts[#counts + 1] = #group[run]
    end
  end
  return counts
end

--- What full queues refused: netstring of the counts, then number of the message and queue. `refused` holds these two in turn.
local function with_refusals(group, refused)
  local counts, parts = each(group), {}
  for i = 1, #refused, 2 do
    counts[refused[i] + 1] = counts[refused[i] + 1] - 1
    parts[#parts + 1] = pack.net(tostring(refused[i])) .. pack.net(refused[i + 1])
  end
  return "~" .. pack.net(pack.net(table.concat(counts, ",")) .. table.concat(parts))
end

function M.of(group, refused)
  if refused then
    return with_refusals(group, refused)
  end
  local uniform = #group[1]
  for run = 4, #group, 3 do
    if #group[run] ~= uniform then
      return "+" .. table.concat(each(group), ",")
    end
  end
  return "=" .. uniform
end

return M
