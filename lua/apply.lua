--- Write what policies mean for a page of queues and exchanges.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] state      number of the policies that it was worked out from
-- ARGV[3..]          per item: q or x, name, record as it was read, traits of a queue or alternate part of an exchange's record
-- Returns how many were written: an item that was declared anew since is passed over, its declare knew the policies.
--         POLICIES_CHANGED when the state is another one.
local vhost_key, vhost_id, state = KEYS[1], ARGV[1], ARGV[2]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local policy = require("lib.policy")
local changed = policy.changed(vhost_key, state)
if changed then
  return changed
end
local count = 0
for i = 3, #ARGV, 4 do
  local hash = prefix .. (ARGV[i] == "q" and "queues" or "exchanges")
  local record = redis.call("HGET", hash, ARGV[i + 1])
  if ARGV[i] == "q" and record == ARGV[i + 2] then
    policy.apply_to_queue(prefix, ARGV[i + 1], ARGV[i + 3])
    count = count + 1
  elseif ARGV[i] == "x" and record and policy.is_same_exchange(record, ARGV[i + 2]) then
    policy.apply_to_exchange(prefix, ARGV[i + 1], record, ARGV[i + 3])
    count = count + 1
  end
end
return count
