--- Open a vhost: make it with its predeclared exchanges where it is missing.
-- KEYS[1] vhost_key  hash
-- ARGV[1] schema     number that this client writes
-- ARGV[2] epoch      random, used when the vhost is made now
-- ARGV[3..]          name, head, tail of each predeclared exchange
-- Returns the vhost id that every other script wants as ARGV[1].
local vhost_key, schema, epoch = KEYS[1], ARGV[1], ARGV[2]
local id = redis.call("HGET", vhost_key, "id")
if id then
  local stored = string.match(id, "^(%d+)%.")
  if not stored or tonumber(stored) > tonumber(schema) then
    return require("lib.vhost").refuse(vhost_key, schema .. "." .. epoch)
  end
  return id
end
local prefix = string.sub(vhost_key, 1, -6)
id = schema .. "." .. epoch
redis.call("HSET", vhost_key, "id", id)
for i = 3, #ARGV, 3 do
  local generation = string.format("%.0f", redis.call("HINCRBY", vhost_key, "next", 1))
  redis.call("HSET", prefix .. "exchanges", ARGV[i], ARGV[i + 1] .. ";" .. generation .. ";" .. ARGV[i + 2])
end
return id
