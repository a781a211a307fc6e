--- Bind a queue or an exchange to an exchange.
-- KEYS[1] vhost_key    hash
-- ARGV[1] vhost_id     what open_vhost returned
-- ARGV[2] session      the caller's, or empty
-- ARGV[3] source       exchange
-- ARGV[4] kind         of the destination: q or x
-- ARGV[5] destination  its name
-- ARGV[6] id           of the binding
-- ARGV[7] arguments    table
-- ARGV[8] form         match form for a headers exchange, or ? and why there is none
-- Returns 1 when the binding is new, 0 when it was there.
local vhost_key, vhost_id, session, source, kind, destination, id, arguments, form =
  KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local refuse = require("lib.refuse")
local record = redis.call("HGET", prefix .. "exchanges", source)
if not record then
  local swapped = redis.call("HEXISTS", prefix .. "queues", source) == 1
  local hint = swapped and "it is a queue: the order is bind(queue, exchange, key)" or "no such exchange; declare it first"
  return refuse.reply("NOT_FOUND", "exchange", source, hint)
end
if not string.match(record, "^[cdfhmrty]%d%d%dD?;%d+;") then
  return refuse.reply("TOPOLOGY_LOST", "exchange", source, "its stored record is corrupt; delete it and declare it anew")
end
local locked
if kind == "x" then
  if redis.call("HEXISTS", prefix .. "exchanges", destination) == 0 then
    return refuse.reply("NOT_FOUND", "exchange", destination, "no such exchange; declare it first")
  end
else
  local queues = require("lib.queues")
  local queue = queues.read(prefix, destination)
  if not queue then
    return queues.missing(prefix, destination)
  end
  locked = queues.locked(queue, destination, session)
end
-- In RabbitMQ's order: missing ends, then what is wrong with the binding, then whose queue it is.
if string.sub(record, 1, 1) == "h" and string.sub(form, 1, 1) == "?" then
  return refuse.reply("PRECONDITION_FAILED", "binding", source, string.sub(form, 2))
end
local _, _, key = require("lib.pack").binding(id)
if string.sub(record, 1, 1) == "c" and not string.match(key, "^[1-9]%d*$") then
  return refuse.reply("PRECONDITION_FAILED", "binding", source, "the binding key is the weight there: a whole number of at least 1")
end
if locked then
  return locked
end
local added = require("lib.bindings").add(prefix, source, record, id, arguments, form)
if added == 1 and string.sub(record, 1, 1) == "y" then
  require("lib.effects").replay(prefix, source, kind, destination)
end
return added
