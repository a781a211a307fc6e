--- Filing the bindings of a headers exchange in the index that lib/headers.lua reads; it says what the fields hold.
local pack = require("lib.pack")
local packed = require("lib.packed")
local M = {}

--- Whether a field of the routes hash is a binding's id (q or x, then the destination).
function M.is_binding(field)
  local kind = string.sub(field, 1, 1)
  return kind == "q" or kind == "x"
end

--- The tests of a match form: their fields in the index, and their text in the form.
local function tests_of(form)
  local tests, at = {}, 2
  while at <= #form do
    local key, after = pack.read(form, at)
    local value, stop = pack.read(form, after)
    tests[#tests + 1] = { field = "=" .. pack.net(key) .. value, text = string.sub(form, at, stop - 1), is_presence = value == "" }
    at = stop
  end
  return tests
end

--- The form with the test first that has the least in its field: a common one fills up, and is left to what has no other.
-- Of two equals a value is better than presence, since fewer messages have it.
local function rarest_first(routes_key, form)
  local tests, best, least = tests_of(form), nil, nil
  for at, test in ipairs(tests) do
    local size = 2 * redis.call("HSTRLEN", routes_key, test.field) + (test.is_presence and 1 or 0)
    if not best or size < least then
      best, least = at, size
    end
  end
  local texts = { "a", best and tests[best].text }
  for at, test in ipairs(tests) do
    if at ~= best then
      texts[#texts + 1] = test.text
    end
  end
  return table.concat(texts)
end

--- The fields where a stored form is filed, and the tests that are left to be made there.
local function places(form)
  local tests, fields = tests_of(form), {}
  if string.sub(form, 1, 1) == "o" then
    for at, test in ipairs(tests) do
      fields[at] = test.field
    end
    return fields, ""
  elseif not tests[1] then
    return { "=" }, ""
  end
  return { tests[1].field }, string.sub(form, 2 + #tests[1].text)
end

--- What a field holds: the destinations that its test decides, and those with tests left to be made.
local function read(routes_key, field)
  local filed = redis.call("HGET", routes_key, field) or "0:"
  local decided, after = pack.read(filed, 1)
  return decided, string.sub(filed, after)
end

local function write(routes_key, field, decided, undecided)
  if decided == "" and undecided == "" then
    redis.call("HDEL", routes_key, field)
  else
    redis.call("HSET", routes_key, field, pack.net(decided) .. undecided)
  end
end

--- Adds a binding.
function M.insert(routes_key, id, form)
  if string.sub(form, 1, 1) == "a" then
    form = rarest_first(routes_key, form)
  end
  local kind, destination = pack.binding(id)
  local entry, fields, rest = kind .. pack.net(destination), places(form)
  for _, field in ipairs(fields) do
    local decided, undecided = read(routes_key, field)
    if rest == "" then
      write(routes_key, field, decided .. entry, undecided)
    else
      write(routes_key, field, decided, undecided .. pack.net(rest) .. entry)
    end
  end
  redis.call("HSET", routes_key, id, form)
end

--- `undecided` less one such entry.
local function without(undecided, rest, entry)
  local piece = pack.net(rest) .. entry
  local shorter, at = packed.cut(undecided, piece), 1
  while not shorter and at <= #undecided do
    local _, start = pack.read(undecided, at)
    local _, after = pack.read(undecided, start + 1)
    if string.sub(undecided, at, after - 1) == piece then
      shorter = string.sub(undecided, 1, at - 1) .. string.sub(undecided, after)
    end
    at = after
  end
  return shorter or undecided
end

--- Takes a binding away.
function M.remove(routes_key, id)
  local form = redis.call("HGET", routes_key, id)
  if not form then
    return -- evicted or deleted by hand
  end
  local kind, destination = pack.binding(id)
  local fields, rest = places(form)
  for _, field in ipairs(fields) do
    local decided, undecided = read(routes_key, field)
    if rest == "" then
      write(routes_key, field, packed.without(decided, kind, destination), undecided)
    else
      write(routes_key, field, decided, without(undecided, rest, kind .. pack.net(destination)))
    end
  end
  redis.call("HDEL", routes_key, id)
end

return M
