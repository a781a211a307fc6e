--- What a policy changes in a queue or an exchange that is there already.
local clock = require("lib.clock")
local pack = require("lib.pack")
local traits_of = require("lib.traits")
local M = {}

--- A refusal where the policies are not those of `state` any more: the caller works out anew what follows of them.
function M.changed(vhost_key, state)
  local now = redis.call("HGET", vhost_key, "policies") or "0"
  if now ~= state then
    return require("lib.refuse").reply("POLICIES_CHANGED", "vhost", now, "its policies are others by now")
  end
end

--- A limit of bytes came: what is there has to be counted, once nobody reads natively any more.
local function begin_to_count(prefix, name)
  local managed = tonumber(redis.call("HGET", prefix .. "managed", name) or 0)
  if redis.call("ZCARD", prefix .. "users:" .. name) > managed then
    redis.call("HSET", prefix .. "measures", name, "-")
  else
    require("lib.measure").start(prefix, name)
  end
end

function M.apply_to_queue(prefix, name, packed)
  local before, after = traits_of.read(prefix, name), traits_of.parse(packed ~= "" and packed)
  packed = before.trace and require("lib.traces").marked(packed) or packed
  if packed == "" then
    redis.call("HDEL", prefix .. "traits", name)
  else
    redis.call("HSET", prefix .. "traits", name, packed)
  end
  if after.bytes and not before.bytes and after.kind ~= "stream" then
    begin_to_count(prefix, name)
  elseif before.bytes and not after.bytes then
    redis.call("HDEL", prefix .. "bytes", name)
    redis.call("HDEL", prefix .. "measures", name)
  end
  if after.expires and after.expires ~= before.expires then
    require("lib.queues").used(prefix, name, after)
  end
  if after.length or after.bytes or after.age then
    require("lib.due").plan(prefix, name, clock.now_ms()) -- a limit that shrank: the reaper drops what is over it
  end
  if traits_of.managed(after) then
    require("lib.returns").post(prefix, name) -- who reads natively comes to ask, and learns that it has to
  end
end

--- Whether an exchange's record is still the one that was read: bindings give it another generation, and are no change.
function M.is_same_exchange(record, read)
  return (string.gsub(record, "^([^;]*;)%d+;", "%1")) == (string.gsub(read, "^([^;]*;)%d+;", "%1"))
end

--- Puts another alternate exchange into the record, which keeps the arguments as they were declared.
function M.apply_to_exchange(prefix, name, record, alternate)
  local head, at = string.match(record, "^(.-;%d+;)()")
  local after = at + 1
  if string.sub(record, at, at) ~= "-" then
    local _, stop = pack.read(record, at)
    after = stop
  end
  redis.call("HSET", prefix .. "exchanges", name, head .. alternate .. string.sub(record, after))
end

return M
