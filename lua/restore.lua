--- Put back messages that were acknowledged on receipt and that nobody was shown: at the end of their queue, as new ones.
-- KEYS[1] vhost_key    hash
-- ARGV[1] vhost_id     what open_vhost returned
-- ARGV[2] name         of the queue
-- ARGV[3] incarnation  of it: a queue declared anew since then is another one
-- ARGV[4..]            envelope, body and expiry (ms, or empty) of each
-- Returns how many were put back: all, or none where the queue is gone.
local vhost_key, vhost_id, name, incarnation = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local queue = require("lib.queues").read(prefix, name)
if not queue or queue.incarnation ~= incarnation then
  return 0
end
-- The first write is one that maxmemory never refuses; without it a full server would lose these.
redis.call("HDEL", vhost_key, "")
local arrivals = require("lib.arrivals")
local state = arrivals.new(prefix)
local target = arrivals.queue(state, name)
for i = 4, #ARGV, 3 do
  local priority = target.traits.priority and require("lib.envelope").priority(ARGV[i])
  local left_ms = tonumber(ARGV[i + 2]) and tonumber(ARGV[i + 2]) - state.now_ms
  if left_ms and left_ms <= 0 then
    arrivals.died(state, target, { "m", ARGV[i], "b", ARGV[i + 1] }, "expired")
  else
    arrivals.put(state, target, ARGV[i], ARGV[i + 1], { x = left_ms, p = priority })
  end
end
arrivals.finish(state)
return (#ARGV - 3) / 3
