--- The route cache: topic routes by `<generation>:<routing key>`, so a change of bindings leaves old ones unreachable.
local M = {}

--- At most 4 MiB of keys and routes a vhost; past that the cache starts anew (old generations go with it).
local LIMIT_BYTES = 4194304

--- Stores field, value pairs. Call it after a write that may be refused at maxmemory: it must never be the first.
function M.fill(prefix, fills)
  local key, bytes = prefix .. "cache", 0
  require("lib.hashtable").keep(key)
  for i = 1, #fills, 2 do
    redis.call("HSET", key, fills[i], fills[i + 1])
    bytes = bytes + #fills[i] + #fills[i + 1]
  end
  if redis.call("HINCRBY", key, "bytes", bytes) > LIMIT_BYTES then
    redis.call("UNLINK", key)
  end
end

return M
