--- Register a consumer over queues; it may take over from an older name of itself after a reconnect.
-- KEYS[1] vhost_key   hash
-- ARGV[1] vhost_id    what open_vhost returned
-- ARGV[2] session     that owns it
-- ARGV[3] consumer    its new name, never used before
-- ARGV[4] old         its name before, or empty
-- ARGV[5] timeout_ms  ack timeout of this consumer, 0 when the queue's or the default holds
-- ARGV[6] default_ms  ack timeout where neither sets one
-- ARGV[7] kind        p plain (m where a queue asks for it), m managed (by script alone), g get (no consumer in counts)
-- ARGV[8] prefetch    deliveries that it may hold
-- ARGV[9] priority    x-priority, 0 where it has none
-- ARGV[10] exclusive  1: its queues are to have no other consumer
-- ARGV[11] info       table for listings
-- ARGV[12..]          per queue: name, count of ids that its user was shown and has not settled, those ids
-- Returns the incarnation of each queue; for each queue an array of those shown ids that are still its own; its ack timeout, ms;
--         the kind that it has become; the type of each queue, empty for a classic one; 1 for each that has a retry policy.
local vhost_key, vhost_id, session, consumer, old, timeout_ms, default_ms, kind, prefetch, priority, exclusive, info =
  KEYS[1],
  ARGV[1],
  ARGV[2],
  ARGV[3],
  ARGV[4],
  tonumber(ARGV[5]),
  tonumber(ARGV[6]),
  ARGV[7],
  tonumber(ARGV[8]),
  tonumber(ARGV[9]),
  ARGV[10],
  ARGV[11]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local queues = require("lib.queues")
local consumers = require("lib.consumers")
local registering = require("lib.registering")
if not redis.call("ZSCORE", prefix .. "sessions", session) then
  return require("lib.refuse").reply("SESSION_GONE", "session", session, "it was reaped")
end
local wanted, at, limit_ms = {}, 12, timeout_ms
while at <= #ARGV do
  local name, count, seen = ARGV[at], tonumber(ARGV[at + 1]), {}
  local queue = queues.read(prefix, name)
  if not queue then
    return queues.missing(prefix, name)
  end
  local refusal = queues.locked(queue, name, session)
    or queues.broken(prefix, name, queue)
    or kind ~= "g" and registering.taken(prefix, name, consumer, old, exclusive == "1")
  if refusal then
    return type(refusal) == "string" and redis.error_reply(refusal) or refusal
  end
  for i = at + 2, at + 1 + count do
    seen[ARGV[i]] = true
  end
  if timeout_ms == 0 then
    -- Over several queues the shortest of their timeouts holds, so that no queue's promise is broken.
    local own_ms = registering.timeout_ms(prefix, queue, name) or default_ms
    limit_ms = limit_ms == 0 and own_ms or math.min(limit_ms, own_ms)
  end
  if kind == "p" and (priority ~= 0 or consumers.must_ask(prefix, name)) then
    kind = "m"
  end
  local refused = registering.as_stream(prefix, name, kind, #wanted > 0 or at + 2 + count <= #ARGV)
  if refused then
    return refused
  end
  wanted[#wanted + 1] = { name = name, incarnation = queue.incarnation, seen = seen }
  at = at + 2 + count
end

-- Sent again since the reply was lost: the first try moved all from the old name to the new one.
local repeated = redis.call("HEXISTS", prefix .. "consumers", consumer) == 1
local record = {
  exclusive = exclusive == "1",
  timeout_ms = limit_ms,
  kind = kind,
  prefetch = prefetch,
  priority = priority,
  session = session,
  info = info,
}
registering.register(prefix, consumer, old, wanted, record)
local incarnations, kept, kinds, names, retries = {}, {}, {}, {}, {}
for i, queue in ipairs(wanted) do
  incarnations[i], names[i] = queue.incarnation, queue.name
  kept[i] = registering.take_over(prefix, consumer, old, queue, repeated)
  local traits = require("lib.traits").read(prefix, queue.name)
  kinds[i], retries[i] = traits.kind or "", traits.retry and 1 or 0
end
if old ~= "" then
  consumers.forget(prefix, old, consumers.read(prefix, old) or { session = session, kind = kind, queues = names })
end
for _, queue in ipairs(wanted) do
  registering.greet(prefix, queue.name, kind)
end
return { incarnations, kept, limit_ms, kind, kinds, retries }
