--- The exchanges that RabbitMQ has as plugins: `c` consistent hash, `m` modulus hash, `r` random, `y` recent history
-- (docs/semantics.md, Exchanges). Their routes hash holds binding id -> weight; recent history's is that of a fanout.
local hashing = require("lib.hash")
local pack = require("lib.pack")
local typed = require("lib.typed")
local M = {}

local hash = hashing.of

--- Binding ids and weights, sorted, since HGETALL has no order that lasts.
local function bindings(routes_key)
  local fields, ids, weights = redis.call("HGETALL", routes_key), {}, {}
  for i = 1, #fields, 2 do
    ids[#ids + 1], weights[fields[i]] = fields[i], tonumber(fields[i + 1])
  end
  table.sort(ids)
  return ids, weights
end

local function destination(id)
  local _, after = pack.read(id, 2)
  return string.sub(id, 1, after - 1)
end

--- What the hash is taken of: the routing key, or the header or property that the exchange's arguments name.
local function hashed(calls, exchange, key, headers)
  local arguments = typed.values(string.sub(exchange.record, exchange.arguments))
  if arguments["hash-header"] then
    return string.sub(typed.get(typed.rows(headers), arguments["hash-header"]) or "", 2)
  elseif arguments["hash-property"] then
    calls.varies = true
    local properties = calls.message and require("lib.envelope").read(calls.message).properties or {}
    return string.sub(typed.get(properties, arguments["hash-property"]) or "", 2)
  end
  return key
end

--- One destination, by weighted rendezvous: each draws a number from its name and the key, the best one wins. A destination
-- that comes or goes takes or leaves its own share, and no other key moves.
local function consistent(exchange, value)
  local ids, weights = bindings(exchange.routes_key)
  local best, best_score, seen = "", -1, {}
  for _, id in ipairs(ids) do
    local target = destination(id)
    if not seen[target] then
      seen[target] = true -- a second binding of one destination is passed over (RabbitMQ)
      local drawn = (hash(value, hash(target, 7)) + 0.5) / hashing.PRIME
      local score = -weights[id] / math.log(drawn)
      if score > best_score then
        best, best_score = target, score
      end
    end
  end
  return best
end

local function random(calls, exchange)
  local ids = bindings(exchange.routes_key)
  calls.drawn = (calls.drawn or 0) + 1
  local time = redis.call("TIME")
  local drawn = hash(time[1] .. "." .. time[2] .. "." .. calls.drawn .. (calls.message or ""), 11)
  return #ids > 0 and destination(ids[drawn % #ids + 1]) or ""
end

function M.match(calls, exchange, key, headers)
  local kind = exchange.kind
  if kind == "c" then
    return consistent(exchange, hashed(calls, exchange, key, headers))
  elseif kind == "m" then
    local ids = bindings(exchange.routes_key)
    return #ids > 0 and destination(ids[hash(key, 3) % #ids + 1]) or ""
  end
  calls.varies = true
  if kind == "r" then
    return random(calls, exchange)
  end
  calls.effects = calls.effects or {}
  table.insert(calls.effects, { history = exchange, headers = headers })
  return redis.call("HGET", exchange.routes_key, "") or ""
end

return M
