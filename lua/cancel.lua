--- End a consumer, or only its reading: what it was not shown goes back as never read, what it was shown and has not settled too.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] consumer   its name
-- ARGV[3] keep       1: it stays, with what it was shown (basic.cancel: acks stay valid)
-- ARGV[4..]          per queue: name, count of ids that its user was shown and has not settled, those ids
-- Returns 1, or 0 when it was gone already.
local vhost_key, vhost_id, consumer, keep = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local consumers = require("lib.consumers")
local queues = require("lib.queues")
local known = consumers.read(prefix, consumer)
-- One that was frozen may have read on under its name after that was reaped: nobody but itself looks for it.
local at, names = 4, {}
while at <= #ARGV do
  local name, count, seen = ARGV[at], tonumber(ARGV[at + 1]), {}
  for i = at + 2, at + 1 + count do
    seen[ARGV[i]] = true
  end
  local queue = queues.read(prefix, name)
  local goes = queue and keep ~= "1" and consumers.takes_along(prefix, consumer, name, queue)
  local rows, last = goes and 0 or 1000, nil
  while queue and rows == 1000 do
    local options = { seen = seen, keep = keep == "1", from = last and "(" .. last, reason = "cancelled" }
    rows, last = consumers.release(prefix, consumer, name, 1000, options)
  end
  names[#names + 1] = name
  at = at + 2 + count
end
if keep ~= "1" then
  consumers.forget(prefix, consumer, known or { session = "", kind = "p", queues = names })
elseif known then
  consumers.step_back(prefix, consumer, known)
end
return known and 1 or 0
