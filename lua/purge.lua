--- Purge a page of a queue's messages up to a bound: those that wait to be tried again, given back, new.
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
local refusal = require("lib.access").refusal(prefix, name, session)
if refusal then
  return refusal
end
local purging = require("lib.purging")
local traits = require("lib.traits").read(prefix, name)
if traits.kind == "stream" then
  return require("lib.refuse").reply("NOT_SUPPORTED", "queue", name, "it is a stream: what is in it goes by age or size")
end
if bound == "" then
  require("lib.arrivals").refresh(prefix, name)
  bound = require("lib.queues").last(prefix, name)
end
local waited = purging.waiting(prefix, name, bound, limit)
if waited > 0 then
  return { waited, bound }
elseif traits.priority then
  return { purging.by_order(prefix, name, traits, bound, limit), bound }
end
local count = purging.given_back(prefix, name, traits, bound, limit)
return { count > 0 and count or purging.fresh(prefix, name, traits, bound, limit), bound }
