--- One page of a listing.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] kind       exchanges, queues, consumers, or bindings:<exchange>
-- ARGV[3] cursor     0 at first, then what the page before returned
-- ARGV[4] limit      about so many entries
-- Returns the next cursor (0: the end), then name and record of each; for queues also ready, unacked, consumer and waiting count.
local vhost_key, vhost_id, kind, cursor, limit = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local page = redis.call("HSCAN", prefix .. kind, cursor, "COUNT", limit)
local reply = { page[1] }
for i = 1, #page[2], 2 do
  local name = page[2][i]
  reply[#reply + 1], reply[#reply + 2] = name, page[2][i + 1]
  if kind == "queues" then
    local queues = require("lib.queues")
    local ready, unacked, waiting = -1, -1, queues.waiting(prefix, name)
    if not queues.broken(prefix, name) then
      require("lib.arrivals").refresh(prefix, name)
      ready, unacked = queues.counts(prefix, name)
      unacked = unacked - waiting
    end
    local users = redis.call("ZCARD", prefix .. "users:" .. name)
    reply[#reply + 1], reply[#reply + 2], reply[#reply + 3], reply[#reply + 4] = ready, unacked, users, waiting
  end
end
return reply
