--- The one way out of a queue for what is settled, and for most of what dies.
local M = {}

--- Settles ids[first..last] for good, none of which shares a large body, in pages: unpack takes less than 8,000.
function M.leave_whole(stream_key, ids, first, last)
  for from = first, last, 2000 do
    local to = from + 1999 < last and from + 1999 or last
    redis.call("XACK", stream_key, "g", unpack(ids, from, to))
    redis.call("XDEL", stream_key, unpack(ids, from, to))
  end
end

--- So many entries are read at once.
local PAGE = 50

--- The entries of ids[first..last] that are there, each once. As a rule they follow each other, and one read finds many.
local function read(stream_key, ids, first, last)
  local entries, found = {}, {}
  for from = first, last, PAGE do
    local to = math.min(from + PAGE - 1, last)
    for _, entry in ipairs(redis.call("XRANGE", stream_key, ids[from], ids[to], "COUNT", to - from + 1)) do
      if found[entry[1]] == nil then
        found[entry[1]] = entry
      end
    end
    for i = from, to do
      local id = ids[i]
      if found[id] == nil then
        found[id] = redis.call("XRANGE", stream_key, id, id)[1]
      end
      entries[#entries + 1] = found[id] or nil
      found[id] = false
    end
  end
  return entries
end

--- Settles ids[first..last] for good, and frees what large bodies they were the last to share (lib/bodies.lua).
function M.leave(prefix, name, ids, first, last)
  local stream_key = prefix .. "stream:" .. name
  local entries = redis.call("HEXISTS", prefix .. "sharing", name) == 1 and read(stream_key, ids, first, last)
  M.leave_whole(stream_key, ids, first, last)
  if entries then
    require("lib.bodies").gone(prefix, name, entries)
  end
end

--- Entries of a queue have been read and deleted.
function M.gone(prefix, name, entries)
  if redis.call("HEXISTS", prefix .. "sharing", name) == 1 then
    require("lib.bodies").gone(prefix, name, entries)
  end
end

return M
