--- One page of what consumers hold of a queue, and who they are.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] session    the caller's, or empty
-- ARGV[3] name       of the queue
-- ARGV[4] first      where to begin, as XPENDING takes it
-- ARGV[5] limit      rows in this call
-- Returns where to begin the next page (empty: this was the last), names and records of the consumers, then for each entry: id,
--         owner, ms since it was handed out or extended, delivery count.
local vhost_key, vhost_id, session, name, first, limit = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local refusal = require("lib.access").refusal(prefix, name, session)
if refusal then
  return refusal
end
local owners = require("lib.owners")
local rows = redis.call("XPENDING", prefix .. "stream:" .. name, "g", first, "+", limit)
local seen, holders, reply = {}, {}, { #rows == limit and "(" .. rows[limit][1] or "", false }
for _, row in ipairs(rows) do
  if owners.state(row[2]) == "unacked" then
    owners.note(prefix, seen, holders, row[2])
    local at = #reply
    reply[at + 1], reply[at + 2], reply[at + 3], reply[at + 4] = row[1], row[2], row[3], row[4]
  end
end
reply[2] = holders
return reply
