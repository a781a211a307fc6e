--- Routing: a worklist over exchanges with a seen-set, one copy a queue whatever the paths (docs/semantics.md, Bindings and routing).
-- A `calls` table lives for one script call: parsed exchange records, match lists and routes found, topic routes to cache.
-- Of the last route it tells: `varies`, another message with the same key may go elsewhere; `effects`, what exchanges do besides.
local pack = require("lib.pack")
local M = {}

local NONE = {}

function M.new(prefix)
  return { prefix = prefix, exchanges = {}, routes = {}, lists = {}, fills = {} }
end

--- The parsed record of an exchange, or false where there is none.
function M.exchange(calls, name)
  local known = calls.exchanges[name]
  if known == nil then
    local record = redis.call("HGET", calls.prefix .. "exchanges", name)
    known = false
    if record then
      local kind, internal, delayed, generation, rest = string.match(record, "^([cdfhmrty])%d%d(%d)(D?);(%d+);()")
      if not kind then
        calls.corrupt = name
        return false
      end
      known = {
        name = name,
        kind = kind,
        internal = internal == "1",
        delayed = delayed == "D",
        generation = generation,
        routes_key = calls.prefix .. "routes:" .. name,
        arguments = rest + 1,
        record = record,
      }
      if string.sub(record, rest, rest) ~= "-" then
        known.alternate, known.arguments = pack.read(record, rest)
      end
    end
    calls.exchanges[name] = known
  end
  return known
end

local function topic(calls, exchange, key)
  local field = exchange.generation .. ":" .. key
  local packed = redis.call("HGET", calls.prefix .. "cache", field)
  if not packed then
    packed = require("lib.topic").match(exchange.routes_key, key)
    calls.fills[#calls.fills + 1] = field
    calls.fills[#calls.fills + 1] = packed
  end
  return packed
end

--- An exchange's own match list for one key, packed.
local function matches(calls, exchange, key, headers)
  local kind = exchange.kind
  if kind == "t" then
    return topic(calls, exchange, key)
  elseif kind == "d" then
    return redis.call("HGET", exchange.routes_key, key) or ""
  elseif kind == "f" then
    return redis.call("HGET", exchange.routes_key, "") or ""
  end
  calls.by_headers = true
  if kind == "h" then
    return require("lib.headers").match(exchange.routes_key, headers)
  end
  return require("lib.plugins").match(calls, exchange, key, headers)
end

--- The match lists for the routing key and those of CC and BCC together.
local function matches_all(calls, exchange, key, headers, more)
  if exchange.delayed and require("lib.delays").wants(calls, exchange, key, headers, more) then
    return false
  end
  local packed = matches(calls, exchange, key, headers)
  for i = 1, more and #more or 0 do
    packed = packed .. matches(calls, exchange, more[i], headers)
  end
  return packed
end

local function by_name(calls, key)
  return redis.call("HEXISTS", calls.prefix .. "queues", key) == 1 and "q" .. pack.net(key) or ""
end

local function walk(calls, name, packed, key, headers, more)
  local queues, count, found = {}, 0, {}
  local work, seen, at = { name }, { [name] = true }, 1
  while work[at] do
    local exchange = work[at] ~= "" and M.exchange(calls, work[at])
    if work[at] == "" then
      -- As an alternate it routes nowhere: the bindings by name are those of what is published to it (RabbitMQ).
      packed = at == 1 and by_name(calls, key) or ""
      for i = 1, at == 1 and more and #more or 0 do
        packed = packed .. by_name(calls, more[i])
      end
    elseif at > 1 or more then
      packed = exchange and matches_all(calls, exchange, key, headers, more)
      exchange, packed = packed and exchange, packed or "" -- what is delayed has no use for an alternate exchange
    end
    if packed == "" and exchange and exchange.alternate and not seen[exchange.alternate] then
      seen[exchange.alternate] = true
      work[#work + 1] = exchange.alternate
    end
    local kinds, names, size = pack.destinations(packed)
    for i = 1, size do
      local target = names[i]
      if kinds[i] == "x" then
        if not seen[target] then
          seen[target] = true
          work[#work + 1] = target
        end
      elseif not found[target] then
        found[target] = true
        count = count + 1
        queues[count] = target
      end
    end
    at = at + 1
  end
  return queues
end

--- The queues of a match list that names queues only, else false: then the routing goes on from exchange to exchange.
local function queues_only(packed)
  local kinds, names, size = pack.destinations(packed)
  local queues, found = {}, {}
  for i = 1, size do
    if kinds[i] == "x" then
      return false
    elseif not found[names[i]] then
      found[names[i]] = true
      queues[#queues + 1] = names[i]
    end
  end
  return size > 0 and queues
end

local function find(calls, name, key, headers)
  if name ~= "" and calls.exchanges[name].delayed then
    calls.by_headers = true
    return walk(calls, name, "", key, headers, NONE)
  end
  local packed = name == "" and "" or matches(calls, calls.exchanges[name], key, headers)
  local queues = calls.lists[packed]
  if queues == nil then
    queues = queues_only(packed)
    calls.lists[packed] = queues
  end
  return queues or walk(calls, name, packed, key, headers)
end

--- Names of the queues that a message reaches, or nil where there is no such exchange. `more`: keys of CC and BCC.
-- Many keys share a match list, so its queues are one table a call: whoever looks at a list looks once.
function M.route(calls, name, key, headers, more)
  local memo = calls.routes[name]
  if not memo then
    if name ~= "" and not M.exchange(calls, name) then
      return nil
    end
    memo = {}
    calls.routes[name] = memo
  end
  if more and #more > 0 then
    return walk(calls, name, "", key, headers, more)
  end
  local queues = memo[key]
  if not queues then
    calls.by_headers = false
    queues = find(calls, name, key, headers)
    if not calls.by_headers then
      memo[key] = queues
    end
  end
  return queues
end

return M
