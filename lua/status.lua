--- Counts for people: sessions and consumers of the vhost.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- Returns counts of sessions, consumers, queues, exchanges, lanes.
local vhost_key, vhost_id = KEYS[1], ARGV[1]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
return {
  redis.call("ZCARD", prefix .. "sessions"),
  redis.call("HLEN", prefix .. "consumers"),
  redis.call("HLEN", prefix .. "queues"),
  redis.call("HLEN", prefix .. "exchanges"),
  redis.call("HLEN", prefix .. "lanes"),
}
