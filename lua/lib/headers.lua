--- Headers matching. A binding's match form is `a` (all) or `o` (any), then netstring key, netstring typed value per test.
-- An empty value tests for presence. Values are canonical bytes, so equality of bytes is AMQP's typed equality.
local pack = require("lib.pack")
local M = {}

local function parse(headers)
  local values, at, size = {}, 1, #headers
  while at <= size do
    local key, value
    key, at = pack.read(headers, at)
    value, at = pack.read(headers, at)
    values[key] = value
  end
  return values
end

local function accepts(form, values)
  local any, at, size = string.sub(form, 1, 1) == "o", 2, #form
  while at <= size do
    local key, wanted
    key, at = pack.read(form, at)
    wanted, at = pack.read(form, at)
    local value = values[key]
    local matched = value ~= nil and (wanted == "" or wanted == value)
    if matched == any then
      return any
    end
  end
  return not any
end

--- Whether one binding takes these headers, for lib/explain.lua.
function M.accepts(form, headers)
  return accepts(form, parse(headers))
end

--- Packed destinations of every binding whose tests the headers pass.
function M.match(routes_key, headers)
  local values, found = parse(headers), {}
  local forms = redis.call("HGETALL", routes_key)
  for i = 1, #forms, 2 do
    if accepts(forms[i + 1], values) then
      local _, after = pack.read(forms[i], 2)
      found[#found + 1] = string.sub(forms[i], 1, after - 1)
    end
  end
  return table.concat(found)
end

return M
