--- Deleted queues of which entries share large bodies (lib/bodies.lua): each has to be looked at, which for a deep queue is no work
-- for one call. What one call leaves of the stream is renamed to `grave:<n>`; `graves` holds n -> how many such entries are left.
-- The reaper digs on.
local bodies = require("lib.bodies")
local M = {}

--- So many entries are looked at in one call, and about so many bytes: XRANGE brings whole bodies into Lua.
local LOOKS, BYTES = 500, 1048576

--- Takes out a page of entries; how many that share are left. Its first write is one that maxmemory never refuses.
local function dig(prefix, key, left)
  local looked, bytes, page = 0, 0, 1
  while left > 0 and looked < LOOKS and bytes < BYTES do
    local ids, entries = {}, redis.call("XRANGE", key, "-", "+", "COUNT", page)
    if #entries == 0 then
      return 0
    end
    for i, entry in ipairs(entries) do
      ids[i] = entry[1]
      bytes = bytes + #entry[2][4]
    end
    redis.call("XDEL", key, unpack(ids))
    left = left - bodies.gone(prefix, nil, entries)
    looked = looked + #ids
    page = math.min(page * 2, LOOKS - looked)
  end
  return left
end

--- The end of a queue's stream.
function M.bury(prefix, name)
  local key = prefix .. "stream:" .. name
  local count = tonumber(redis.call("HGET", prefix .. "sharing", name) or 0)
  local left = redis.call("TYPE", key)["ok"] == "stream" and dig(prefix, key, count) or 0
  if left > 0 then
    local clock = require("lib.clock")
    local number = clock.text(redis.call("HINCRBY", prefix .. "vhost", "next", 1))
    redis.call("RENAME", key, prefix .. "grave:" .. number)
    redis.call("HSET", prefix .. "graves", number, left)
    require("lib.due").alarm(prefix, clock.now_ms())
  end
end

--- Digs on; whether there is more.
function M.dig(prefix)
  local number = redis.call("HRANDFIELD", prefix .. "graves")
  local key = prefix .. "grave:" .. number
  local left = dig(prefix, key, tonumber(redis.call("HGET", prefix .. "graves", number)))
  if left > 0 then
    redis.call("HSET", prefix .. "graves", number, left)
    return true
  end
  redis.call("UNLINK", key)
  redis.call("HDEL", prefix .. "graves", number)
  return redis.call("EXISTS", prefix .. "graves") == 1
end

return M
