--- Purge a page of a queue's ready messages: the new ones up to a bound, then those given back.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] session    the caller's, or empty
-- ARGV[3] name       of the queue
-- ARGV[4] bound      last entry id to purge; empty on the first call, which returns it
-- ARGV[5] limit      entries in this call
-- Returns the count purged now, and the bound: call again until the count is 0.
local vhost_key, vhost_id, session, name, bound, limit = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local queues = require("lib.queues")
local queue = queues.read(prefix, name)
if not queue then
  return queues.missing(prefix, name)
end
local refusal = queues.locked(queue, name, session) or queues.broken(prefix, name, queue)
if refusal then
  return type(refusal) == "string" and redis.error_reply(refusal) or refusal
end
local stream_key = prefix .. "stream:" .. name
local function field(info, wanted)
  for i = 1, #info, 2 do
    if info[i] == wanted then
      return info[i + 1]
    end
  end
end
if bound == "" then
  bound = field(redis.call("XINFO", "STREAM", stream_key), "last-generated-id")
end
local ids = {}
local given_back = redis.call("XPENDING", stream_key, "g", "-", bound, limit, "-")
for i, row in ipairs(given_back) do
  ids[i] = row[1]
end
if #ids > 0 then
  require("lib.departure").leave(stream_key, ids, 1, #ids) -- first, since maxmemory never refuses it
  redis.call("HINCRBY", prefix .. "returned", name, -#ids)
  return { #ids, bound }
end
-- XRANGE brings the bodies into Lua, so the pages grow only while what they bring is small.
local from = "(" .. field(redis.call("XINFO", "GROUPS", stream_key)[1], "last-delivered-id")
local purged, bytes, page = 0, 0, 1
while purged < limit and bytes < 1048576 do
  ids = {}
  for i, entry in ipairs(redis.call("XRANGE", stream_key, from, bound, "COUNT", page)) do
    ids[i] = entry[1]
    bytes = bytes + #entry[2][4]
  end
  if #ids == 0 then
    break
  end
  redis.call("XDEL", stream_key, unpack(ids))
  purged = purged + #ids
  page = math.min(page * 2, limit - purged)
end
return { purged, bound }
