--- Taking one destination out of a list of them. Rare, so it is no part of lib/pack.lua, which every publish pays for.
local pack = require("lib.pack")
local M = {}

--- `text` less the only place where `piece` stands in it, else nil: what a name holds may look like it. What is taken out is
-- there, so the only one is it; to read all of 10,000 destinations would take 20 times as long.
function M.cut(text, piece)
  local first, last = string.find(text, piece, 1, true)
  if first and not string.find(text, piece, first + 1, true) then
    return string.sub(text, 1, first - 1) .. string.sub(text, last + 1)
  end
end

--- `packed` less one occurrence of `kind`, `name`.
function M.without(packed, kind, name)
  local shorter = M.cut(packed, kind .. pack.net(name))
  if shorter then
    return shorter
  end
  local kinds, names, count = pack.destinations(packed)
  local kept, dropped = {}, false
  for i = 1, count do
    if not dropped and kinds[i] == kind and names[i] == name then
      dropped = true
    else
      kept[#kept + 1] = kinds[i] .. pack.net(names[i])
    end
  end
  return table.concat(kept)
end

return M
