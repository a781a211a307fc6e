--- Where a reader of a stream queue begins; a named one goes on where it was. It also keeps the place of a named one.
-- KEYS[1] vhost_key    hash
-- ARGV[1] vhost_id     what open_vhost returned
-- ARGV[2] name         of the queue
-- ARGV[3] incarnation  of it
-- ARGV[4] reader       name of the reader, or empty
-- ARGV[5] word         where to begin: first, last, next, offset, time, age; or keep (note the place), look (is the queue there?)
-- ARGV[6] value        the offset; the time or the age in ms; the entry id that the reader is done with
-- Returns the entry id after which to read. NOT_FOUND when the queue is gone.
local vhost_key, vhost_id, name, incarnation, reader, word, value = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local queues = require("lib.queues")
local queue = queues.read(prefix, name)
if not queue or queue.incarnation ~= incarnation then
  return queues.missing(prefix, name)
end
local places_key = prefix .. "places:" .. name
local kept = reader ~= "" and redis.call("HGET", places_key, reader)
if word == "look" then
  return value
elseif word == "keep" then
  redis.call("HDEL", vhost_key, "") -- never refused: a full server must not make a reader forget its place
  redis.call("HSET", places_key, reader, value)
  return value
end
return kept or require("lib.log").seek(prefix, name, word, value)
