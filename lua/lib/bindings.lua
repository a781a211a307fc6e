--- Adding and taking away bindings: the record, the routing table of the source, the index at the destination.
local pack = require("lib.pack")
local M = {}

local function reverse_key(prefix, kind, destination)
  return prefix .. "inbound:" .. kind .. ":" .. destination
end

--- A new generation makes the cached routes of this exchange, and of no other, unreachable.
local function touch(prefix, source, record)
  local head, tail = string.match(record, "^([cdfhmrty]%d%d%dD?;)%d+(;.*)$")
  if not head then
    return -- corrupt: nothing is routed by it, and taking its bindings away is how one repairs it
  end
  local generation = string.format("%.0f", redis.call("HINCRBY", prefix .. "vhost", "next", 1))
  redis.call("HSET", prefix .. "exchanges", source, head .. generation .. tail)
end

local function append(routes_key, field, kind, destination)
  local packed = redis.call("HGET", routes_key, field) or ""
  redis.call("HSET", routes_key, field, packed .. kind .. pack.net(destination))
end

local function drop(routes_key, field, kind, destination)
  local packed = require("lib.packed").without(redis.call("HGET", routes_key, field) or "", kind, destination)
  if packed == "" then
    redis.call("HDEL", routes_key, field)
  else
    redis.call("HSET", routes_key, field, packed)
  end
end

--- Exchanges whose routing looks at every binding (the hashes, by weight; random), and those that look at no key.
local BY_ID, BY_NOTHING = { c = true, m = true, r = true }, { f = true, y = true }
--- Those whose routes are searched by key, by words, by headers.
local SEARCHED = { d = true, t = true, h = true }

--- Adds the binding unless it is there; `record` is the source's, `form` its match form for a headers exchange.
function M.add(prefix, source, record, id, arguments, form)
  if redis.call("HSETNX", prefix .. "bindings:" .. source, id, arguments) == 0 then
    return 0
  end
  local kind, destination, key = pack.binding(id)
  local routes_key, exchange_kind = prefix .. "routes:" .. source, string.sub(record, 1, 1)
  if SEARCHED[exchange_kind] then
    require("lib.hashtable").keep(routes_key)
  end
  if exchange_kind == "t" then
    require("lib.topic").insert(routes_key, key, kind, destination)
    touch(prefix, source, record)
  elseif exchange_kind == "h" then
    require("lib.headers_index").insert(routes_key, id, form)
  elseif BY_ID[exchange_kind] then
    redis.call("HSET", routes_key, id, exchange_kind == "c" and key or 1)
  else
    append(routes_key, BY_NOTHING[exchange_kind] and "" or key, kind, destination)
  end
  redis.call("SADD", reverse_key(prefix, kind, destination), pack.net(source) .. id)
  return 1
end

--- Takes the binding away if it is there; an auto-delete source goes with its last one, and so on upstream.
function M.remove(prefix, source, id)
  if redis.call("HDEL", prefix .. "bindings:" .. source, id) == 0 then
    return 0
  end
  local kind, destination, key = pack.binding(id)
  redis.call("SREM", reverse_key(prefix, kind, destination), pack.net(source) .. id)
  local record = redis.call("HGET", prefix .. "exchanges", source)
  if not record then
    return 1 -- evicted or deleted by hand: with the exchange its routes are gone too
  end
  local routes_key, exchange_kind = prefix .. "routes:" .. source, string.sub(record, 1, 1)
  if exchange_kind == "t" then
    require("lib.topic").remove(routes_key, key, kind, destination)
    touch(prefix, source, record)
  elseif exchange_kind == "h" then
    require("lib.headers_index").remove(routes_key, id)
  elseif BY_ID[exchange_kind] then
    redis.call("HDEL", routes_key, id)
  else
    drop(routes_key, BY_NOTHING[exchange_kind] and "" or key, kind, destination)
  end
  if redis.call("EXISTS", prefix .. "bindings:" .. source) == 0 then
    redis.call("UNLINK", routes_key) -- with what is in it besides the bindings
    if string.sub(record, 3, 3) == "1" then
      require("lib.exchanges").delete(prefix, source)
    end
  end
  return 1
end

--- Removes up to `limit` bindings that end at a destination; whether any is left.
function M.remove_inbound(prefix, kind, destination, limit)
  local key = reverse_key(prefix, kind, destination)
  for _, member in ipairs(redis.call("SRANDMEMBER", key, limit) or {}) do
    local source, after = pack.read(member, 1)
    if M.remove(prefix, source, string.sub(member, after)) == 0 then
      redis.call("SREM", key, member) -- evicted or deleted by hand: without this the deletion would never end
    end
  end
  return redis.call("EXISTS", key) == 1
end

--- Removes up to `limit` bindings that start at an exchange; whether any is left.
function M.remove_outbound(prefix, source, limit)
  local key = prefix .. "bindings:" .. source
  for _, id in ipairs(redis.call("HRANDFIELD", key, limit) or {}) do
    M.remove(prefix, source, id)
  end
  return redis.call("EXISTS", key) == 1
end

return M
