--- Topic matching by a trie in a hash: `<node>.<word>` edges, `d<node>` destinations, `c<node>` child counts, `next` the last node.
-- A key is walked as a set of nodes, so no number of `#` can blow up (docs/semantics.md, Exchanges: the empty key has no words,
-- empty words are kept, `*` is one word, `#` is any number). The root is node 0.
local pack = require("lib.pack")
local M = {}

local function split(key)
  local words, count = {}, 0
  if key ~= "" then
    for word in string.gmatch(key .. ".", "([^.]*)%.") do
      count = count + 1
      words[count] = word
    end
  end
  return words, count
end

M.split = split

--- The nodes alive after one word more. `nodes` grows by the `#` children of its own members as it is walked.
local function step(routes_key, nodes, present, stays, word)
  local after, alive, at = {}, {}, 1
  local function add(node)
    if node and not alive[node] then
      alive[node] = true
      after[#after + 1] = node
    end
  end
  while nodes[at] do
    local node = nodes[at]
    local edges = redis.call("HMGET", routes_key, node .. word, node .. ".*", node .. ".#")
    local hash = edges[3]
    if hash then
      stays[hash] = true
      if not present[hash] then
        present[hash] = true
        nodes[#nodes + 1] = hash
      end
    end
    add(edges[1])
    add(edges[2])
    add(stays[node] and node)
    at = at + 1
  end
  return after, alive
end

--- Packed destinations of every binding that matches, with repeats.
function M.match(routes_key, routing_key)
  local words, count = split(routing_key)
  local nodes, present, stays = { "0" }, { ["0"] = true }, {}
  for position = 1, count do
    nodes, present = step(routes_key, nodes, present, stays, "." .. words[position])
  end
  local found, at = {}, 1
  while nodes[at] do
    local ends = redis.call("HMGET", routes_key, "d" .. nodes[at], nodes[at] .. ".#")
    found[#found + 1] = ends[1] or nil
    if ends[2] and not present[ends[2]] then
      present[ends[2]] = true
      nodes[#nodes + 1] = ends[2]
    end
    at = at + 1
  end
  return table.concat(found)
end

function M.insert(routes_key, binding_key, kind, name)
  local words, count = split(binding_key)
  local node = "0"
  for i = 1, count do
    local edge = node .. "." .. words[i]
    local child = redis.call("HGET", routes_key, edge)
    if not child then
      child = string.format("%.0f", redis.call("HINCRBY", routes_key, "next", 1))
      redis.call("HSET", routes_key, edge, child)
      redis.call("HINCRBY", routes_key, "c" .. node, 1)
    end
    node = child
  end
  local packed = redis.call("HGET", routes_key, "d" .. node) or ""
  redis.call("HSET", routes_key, "d" .. node, packed .. kind .. pack.net(name))
end

--- Takes one destination out and prunes the nodes that lead nowhere any more.
function M.remove(routes_key, binding_key, kind, name)
  local words, count = split(binding_key)
  local path = { [0] = "0" }
  for i = 1, count do
    path[i] = redis.call("HGET", routes_key, path[i - 1] .. "." .. words[i])
    if not path[i] then
      return
    end
  end
  local field = "d" .. path[count]
  local packed = require("lib.packed").without(redis.call("HGET", routes_key, field) or "", kind, name)
  if packed ~= "" then
    redis.call("HSET", routes_key, field, packed)
    return
  end
  redis.call("HDEL", routes_key, field)
  for i = count, 1, -1 do
    if redis.call("HEXISTS", routes_key, "c" .. path[i]) == 1 or redis.call("HEXISTS", routes_key, "d" .. path[i]) == 1 then
      return
    end
    redis.call("HDEL", routes_key, path[i - 1] .. "." .. words[i])
    if redis.call("HINCRBY", routes_key, "c" .. path[i - 1], -1) == 0 then
      redis.call("HDEL", routes_key, "c" .. path[i - 1])
    end
  end
end

return M
