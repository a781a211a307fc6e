--- Netstrings (`<length>:<bytes>`) and packed destinations (`<q|x><netstring>`…), the two forms that Lua parses.
local M = {}

function M.net(text)
  return #text .. ":" .. text
end

--- The netstring that starts at `from`, and where the next one starts.
function M.read(text, from)
  local length, start = string.match(text, "^(%d+):()", from)
  local stop = start + length
  return string.sub(text, start, stop - 1), stop
end

--- Kinds and names of packed destinations, and how many.
function M.destinations(packed)
  local kinds, names, count, at, size = {}, {}, 0, 1, #packed
  while at <= size do
    local kind, length, start = string.match(packed, "^(%l)(%d+):()", at)
    at = start + length
    count = count + 1
    kinds[count], names[count] = kind, string.sub(packed, start, at - 1)
  end
  return kinds, names, count
end

--- Kind, destination, binding key and canonical arguments of a binding id.
function M.binding(id)
  local destination, after = M.read(id, 2)
  local key, rest = M.read(id, after)
  return string.sub(id, 1, 1), destination, key, string.sub(id, rest)
end

return M
