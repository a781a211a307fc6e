--- Change a queue or an exchange, if it is still what was read.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] session    the caller's, or empty
-- ARGV[3] kind       q or x
-- ARGV[4] name       of the queue or exchange
-- ARGV[5] old        its record as it was read
-- ARGV[6] new        its record as it is to be
-- ARGV[7] traits     of a queue: what it is beyond a plain one, or empty
-- ARGV[8] state      number of the policies that traits or alternate were worked out from
-- Returns 1 when it is so now (a call that is sent again finds it so), 0 when it is another one by now: read it again.
local vhost_key, vhost_id, session, kind, name, old, new, traits, state =
  KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local policy = require("lib.policy")
local hash = prefix .. (kind == "q" and "queues" or "exchanges")
local record = redis.call("HGET", hash, name)
if kind == "q" then
  local queues = require("lib.queues")
  local queue = queues.read(prefix, name)
  local refusal = not queue and queues.missing(prefix, name) or queue and queues.locked(queue, name, session)
  if refusal then
    return refusal
  end
elseif not record then
  return require("lib.refuse").reply("NOT_FOUND", "exchange", name, "no such exchange; declare it first")
elseif policy.is_same_exchange(record, old) then
  -- Written with the generation that it has by now.
  new = string.gsub(new, "^([^;]*;)%d+;", "%1" .. string.match(record, "^[^;]*;(%d+);") .. ";")
  old = record
elseif policy.is_same_exchange(record, new) then
  return 1
end
if record == new then
  return 1
elseif record ~= old then
  return 0
end
local changed = policy.changed(vhost_key, state)
if changed then
  return changed
end
redis.call("HDEL", vhost_key, "") -- never refused: who lowers a limit may do it because memory is full
redis.call("HSET", hash, name, new)
if kind == "q" then
  policy.apply_to_queue(prefix, name, traits)
end
return 1
