--- One page of a queue's entries, the oldest first; nothing is taken, marked or written.
-- KEYS[1] vhost_key   hash
-- ARGV[1] vhost_id    what open_vhost returned
-- ARGV[2] session     the caller's, or empty
-- ARGV[3] name        of the queue
-- ARGV[4] first       where to begin, as XRANGE takes it
-- ARGV[5] last        where to end
-- ARGV[6] limit       entries wanted
-- ARGV[7] state       all, ready, unacked or waiting
-- ARGV[8] deliveries  only what was handed out so often or more
-- ARGV[9] match       form of headers to match, or empty
-- ARGV[10] message_id  a typed value, or empty
-- Returns the id after which to go on (empty: the end), names and records of those who hold some, then for each entry: id, state,
--         owner or empty, idle ms, delivery count, when it expires (ms, or empty), envelope, body.
local vhost_key, vhost_id, session, name, first, last, limit, state, deliveries, match, message_id =
  KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8]), ARGV[9], ARGV[10]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local refusal = require("lib.access").refusal(prefix, name, session)
if refusal then
  return refusal
end
local owners, walk = require("lib.owners"), require("lib.walk")
local look = walk.new(prefix, name, { state = state, deliveries = deliveries, match = match, message_id = message_id })
if last == "+" and (deliveries > 0 or state == "unacked" or state == "waiting") and not look.traits.priority then
  -- Behind the last one that was handed out, however many there are, is none.
  local _, handed_out = require("lib.queues").group(look.key)
  last = handed_out
end
local items, next_id = walk.page(look, first, last, limit)
local seen, holders, reply = {}, {}, { next_id, false }
for _, item in ipairs(items) do
  if item.state == "unacked" then
    owners.note(prefix, seen, holders, item.owner)
  end
  local at, fields = #reply, item.entry[2]
  reply[at + 1], reply[at + 2], reply[at + 3], reply[at + 4] = item.entry[1], item.state, item.owner or "", item.idle_ms
  local body = fields[4]
  if fields[5] == "s" then
    local bodies = require("lib.bodies")
    body = bodies.text(prefix, bodies.of(fields))
    if not body then
      return redis.error_reply(bodies.lost(name, item.entry[1]))
    end
  end
  reply[at + 5], reply[at + 6], reply[at + 7], reply[at + 8] = item.count, item.expires or "", fields[2], body
end
reply[2] = holders
return reply
