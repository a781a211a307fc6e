--- The answer of publish for a group that was written: what became of each message.
local pack = require("lib.pack")
local M = {}

local function each(group)
  local counts = {}
  for run = 1, #group, 3 do
    for _ = 1, group[run + 2] do
      counts[#counts + 1] = #group[run]
    end
  end
  for index, fate in pairs(group.fates or {}) do
    counts[index + 1] = tonumber(string.match(fate, "^%d+"))
  end
  return counts
end

--- The counts, with its fate in place of its count where a message was published before, or waits for its time.
local function fated(group, counts)
  for index, fate in pairs(group.fates or {}) do
    counts[index + 1] = fate
  end
  return counts
end

local function refusal(counts, refused)
  local parts = {}
  for i = 1, #refused, 2 do
    parts[#parts + 1] = pack.net(tostring(refused[i])) .. pack.net(refused[i + 1])
  end
  return "~" .. pack.net(pack.net(table.concat(counts, ",")) .. table.concat(parts))
end

--- What full queues refused: netstring of the counts, then number of the message and queue. `refused` holds these two in turn.
local function with_refusals(group, refused)
  local counts = each(group)
  for i = 1, #refused, 2 do
    counts[refused[i] + 1] = counts[refused[i] + 1] - 1
  end
  return refusal(fated(group, counts), refused)
end

--- The same where full queues kept the whole group out.
function M.none(group, refused)
  local counts = each(group)
  for i = 1, #counts do
    counts[i] = 0
  end
  return refusal(counts, refused)
end

function M.of(group, refused)
  if refused then
    return with_refusals(group, refused)
  elseif group.fates then
    return "*" .. table.concat(fated(group, each(group)), ",")
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
