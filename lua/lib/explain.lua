--- Why a message goes where it goes: the bindings that match, exchange by exchange, as lib/router.lua walks. It is slow, and runs
-- for traced messages only.
local pack = require("lib.pack")
local router = require("lib.router")
local M = {}

--- Bindings of a topic exchange, by their keys: a walk over (node of the trie, words matched so far).
local function by_topic(routes_key, routing_key, add)
  local words = require("lib.topic").split(routing_key)
  local work, seen, at = {}, {}, 1
  local function reach(node, matched, pattern, is_hash)
    if node and not seen[node .. " " .. matched] then
      seen[node .. " " .. matched] = true
      work[#work + 1] = { node = node, matched = matched, pattern = pattern, is_hash = is_hash }
    end
  end
  reach("0", 0, nil, false)
  while work[at] do
    local place = work[at]
    local node, matched, lead = place.node, place.matched, place.pattern and place.pattern .. "." or ""
    local word = words[matched + 1]
    local edges = redis.call("HMGET", routes_key, node .. "." .. (word or "#"), node .. ".*", node .. ".#", "d" .. node)
    reach(edges[3], matched, lead .. "#", true)
    if word then
      reach(place.is_hash and node, matched + 1, place.pattern, true)
      reach(edges[2], matched + 1, lead .. "*", false)
      reach(edges[1], matched + 1, lead .. word, false)
    else
      add(edges[4] or "", place.pattern or "")
    end
    at = at + 1
  end
end

--- Calls `add(destinations, binding key)` for what matches in one exchange.
local function matching(calls, exchange, key, headers, add)
  local kind, routes_key = exchange.kind, exchange.routes_key
  if kind == "t" then
    by_topic(routes_key, key, add)
  elseif kind == "d" then
    add(redis.call("HGET", routes_key, key) or "", key)
  elseif kind == "f" or kind == "y" then
    add(redis.call("HGET", routes_key, "") or "", "")
  elseif kind == "c" or kind == "m" then
    add(require("lib.plugins").match(calls, exchange, key, headers), "")
  else
    -- Which one x-random chose is seen from where the message arrived: all are told.
    local fields = redis.call("HGETALL", routes_key)
    for i = 1, #fields, 2 do
      local is_binding = require("lib.headers_index").is_binding(fields[i])
      if is_binding and (kind == "r" or require("lib.headers").fits(fields[i + 1], headers)) then
        local _, after = pack.read(fields[i], 2)
        local _, _, binding_key = pack.binding(fields[i])
        add(string.sub(fields[i], 1, after - 1), binding_key)
      end
    end
  end
end

--- The steps of a message (`text`: its envelope), in the order in which exchanges are walked: source, kind (q or x) and name of
-- the destination, key of the binding; how: b by a binding, a as alternate exchange, n by the queue's name.
function M.steps(prefix, exchange_name, key, headers, more, text)
  local calls, steps, known = router.new(prefix), {}, {}
  calls.message = text
  local work, seen, at = { exchange_name }, { [exchange_name] = true }, 1
  local function step(source, kind, name, binding_key, how)
    local same = kind .. pack.net(source) .. pack.net(name) .. binding_key
    if not known[same] then
      known[same] = true
      steps[#steps + 1] = { source = source, kind = kind, name = name, key = binding_key, how = how }
    end
    if kind == "x" and not seen[name] then
      seen[name] = true
      work[#work + 1] = name
    end
  end
  local keys = { key }
  for i = 1, #more do
    keys[i + 1] = more[i]
  end
  while work[at] do
    local name, found = work[at], false
    local exchange = name ~= "" and router.exchange(calls, name)
    local delayed = exchange and exchange.delayed and require("lib.delays").wants(calls, exchange, key, headers, more)
    for i = 1, not delayed and #keys or 0 do
      if exchange then
        matching(calls, exchange, keys[i], headers, function(packed, binding_key)
          local kinds, names, size = pack.destinations(packed)
          found = found or size > 0
          for place = 1, size do
            step(name, kinds[place], names[place], binding_key, "b")
          end
        end)
      elseif name == "" and at == 1 and redis.call("HEXISTS", prefix .. "queues", keys[i]) == 1 then
        step("", "q", keys[i], keys[i], "n")
      end
    end
    if exchange and exchange.alternate and not found and not delayed and not seen[exchange.alternate] then
      step(name, "x", exchange.alternate, "", "a")
    end
    at = at + 1
  end
  steps.varies = calls.varies -- another message of the same key may go elsewhere
  return steps
end

return M
