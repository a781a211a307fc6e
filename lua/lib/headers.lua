--- Headers matching. A binding's match form is `a` (all) or `o` (any), then netstring key, netstring typed value per test.
-- An empty value tests for presence. Values are canonical bytes, so equality of bytes is AMQP's typed equality.
--
-- The routes hash holds each binding's form by its id, and an index by tests: `=<netstring key><typed value>`, no value for
-- presence, `=` alone for no test. A field holds a netstring of the destinations that this test decides (`any`, the only test of
-- `all`), then the `all` bindings with more tests that are filed there: netstring of the other tests, destination. Such a binding
-- is filed once, under the test that had the least in its field; its stored form has that test first.
local pack = require("lib.pack")
local M = {}

--- Fields of one HMGET: `unpack` fails near 8,000.
local PAGE = 1000

--- The values by key, and the fields of the index that a message with these headers may find something in.
local function read(headers)
  local values, fields, at, size = {}, { "=" }, 1, #headers
  while at <= size do
    local key, value, test
    local from = at
    key, at = pack.read(headers, at)
    test = "=" .. string.sub(headers, from, at - 1)
    value, at = pack.read(headers, at)
    values[key] = value
    fields[#fields + 1], fields[#fields + 2] = test .. value, test
  end
  return values, fields
end

local function accepts(any, tests, values)
  local at, size = 1, #tests
  while at <= size do
    local key, wanted
    key, at = pack.read(tests, at)
    wanted, at = pack.read(tests, at)
    local value = values[key]
    local matched = value ~= nil and (wanted == "" or wanted == value)
    if matched == any then
      return any
    end
  end
  return not any
end

--- Whether headers pass the tests of one match form.
function M.fits(form, headers)
  return accepts(string.sub(form, 1, 1) == "o", string.sub(form, 2), (read(headers)))
end

--- Adds what one field of the index gives to `found`.
local function collect(filed, values, found)
  local decided, at = pack.read(filed, 1)
  found[#found + 1] = decided
  while at <= #filed do
    local tests, start = pack.read(filed, at)
    local _, after = pack.read(filed, start + 1)
    if accepts(false, tests, values) then
      found[#found + 1] = string.sub(filed, start, after - 1)
    end
    at = after
  end
end

--- Packed destinations of every binding whose tests the headers pass, with repeats.
function M.match(routes_key, headers)
  local values, fields = read(headers)
  local found = {}
  for first = 1, #fields, PAGE do
    local last = math.min(first + PAGE - 1, #fields)
    local filed = redis.call("HMGET", routes_key, unpack(fields, first, last))
    for i = 1, last - first + 1 do
      if filed[i] then
        collect(filed[i], values, found)
      end
    end
  end
  return table.concat(found)
end

return M
