--- Which queues a message would reach, and by which exchanges: nothing is written.
-- KEYS[1] vhost_key    hash
-- ARGV[1] vhost_id     what open_vhost returned
-- ARGV[2] exchange     name
-- ARGV[3] routing_key  of the message
-- ARGV[4] headers      canonical table
-- Returns the queues' names; NOT_FOUND when there is no such exchange.
local vhost_key, vhost_id, exchange, routing_key, headers = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local router, typed = require("lib.router"), require("lib.typed")
local more = {}
for _, name in ipairs({ "CC", "BCC" }) do
  for _, key in ipairs(typed.strings(typed.get(typed.rows(headers), name))) do
    more[#more + 1] = key
  end
end
local calls = router.new(prefix)
local queues = router.route(calls, exchange, routing_key, headers, more)
return queues or redis.error_reply(require("lib.refusals").of_exchange(calls, exchange))
