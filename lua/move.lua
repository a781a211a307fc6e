--- Move or copy a page of a queue's ready messages to another queue, the oldest first; a repeated call is answered from memory.
-- KEYS[1] vhost_key     hash
-- ARGV[1] vhost_id      what open_vhost returned
-- ARGV[2] session       the caller's, or empty
-- ARGV[3] lane          of the caller: one call at a time
-- ARGV[4] number        of the call on its lane, growing
-- ARGV[5] token         random, the same on a retry
-- ARGV[6] verb          move or copy
-- ARGV[7] source        queue
-- ARGV[8] destination   queue
-- ARGV[9] first         where to begin in the source, as XRANGE takes it
-- ARGV[10] bound        last entry id to take; empty on the first call, which returns it
-- ARGV[11] limit        messages in this call
-- ARGV[12] match        form of headers to match, or empty
-- ARGV[13..]            ids: only these, of which only the first few may be dealt with
-- Returns a text: how many went over, how many of the ids were dealt with, `more`, `end` or `full` (the destination refuses), the
--         bound, and the id after which to go on.
local vhost_key, vhost_id, session, lane, number, token, verb, source, destination, first, bound, limit, match =
  KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], tonumber(ARGV[11]), ARGV[12]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local lanes = require("lib.lanes")
local answer = lanes.answered(prefix, lane, number, token)
if answer then
  return answer
end
local access = require("lib.access")
local refusal = access.refusal(prefix, source, session) or access.refusal(prefix, destination, session)
if refusal then
  return refusal
end
local walk = require("lib.walk")
local look = walk.new(prefix, source, { state = "ready", match = match })
if verb == "move" and look.traits.kind == "stream" then
  local why = "it is a stream: what is in it goes by age or size; copy from it instead"
  return require("lib.refuse").reply("NOT_SUPPORTED", "queue", source, why)
end
bound = bound == "" and require("lib.queues").last(prefix, source) or bound
local items, next_id, dealt, is_more
if ARGV[13] then
  local at
  items, at = walk.pick(look, ARGV, 13, limit)
  next_id, dealt, is_more = "", at - 13, ARGV[at] ~= nil
else
  items, next_id = walk.page(look, first, bound, limit)
  dealt, is_more = 0, next_id ~= ""
end
local count, is_full = require("lib.transfer").run(prefix, verb, look, source, destination, items)
answer = table.concat({ count, dealt, is_full and "full" or is_more and "more" or "end", bound, next_id }, " ")
if count > 0 then -- else it may as well be run again, and at maxmemory this would be refused
  lanes.keep(prefix, lane, number, token, look.now_ms, answer)
end
return answer
