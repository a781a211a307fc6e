--- Typed values and tables as rexchange/codec.py writes them: a letter and its text; netstring key, netstring value, ...
local pack = require("lib.pack")
local M = {}

--- Keys and typed values of a table in their order: { key, typed, key, typed, ... }.
function M.rows(text)
  local rows, at, size, count = {}, 1, #text, 0
  while at <= size do
    count = count + 1
    rows[count], at = pack.read(text, at)
  end
  return rows
end

--- The table that `rows` came from.
function M.write(rows)
  local parts = {}
  for i = 1, #rows do
    parts[i] = pack.net(rows[i])
  end
  return table.concat(parts)
end

--- The typed value of a key, and where it stands; nil where there is none.
function M.get(rows, key)
  for i = 1, #rows, 2 do
    if rows[i] == key then
      return rows[i + 1], i + 1
    end
  end
end

--- Sets a key's typed value in its place, or at the end; nil takes the key away.
function M.set(rows, key, typed)
  local _, at = M.get(rows, key)
  if not typed then
    if at then
      table.remove(rows, at)
      table.remove(rows, at - 1)
    end
  elseif at then
    rows[at] = typed
  else
    rows[#rows + 1], rows[#rows + 2] = key, typed
  end
end

--- A flat table of strings, ints and flags as a Lua table.
function M.values(text)
  local rows, values = M.rows(text), {}
  for i = 1, #rows, 2 do
    local kind, value = string.sub(rows[i + 1], 1, 1), string.sub(rows[i + 1], 2)
    if kind == "i" then
      values[rows[i]] = tonumber(value)
    elseif kind == "t" then
      values[rows[i]] = true
    else
      values[rows[i]] = value
    end
  end
  return values
end

--- The typed values of a list; a list is written as its netstrings, so `rows` and `write` serve.
function M.items(typed)
  return string.sub(typed or "", 1, 1) == "l" and M.rows(string.sub(typed, 2)) or {}
end

--- The strings of a list; RabbitMQ passes over what is none.
function M.strings(typed)
  local strings = {}
  for _, item in ipairs(M.items(typed)) do
    local kind = string.sub(item, 1, 1)
    if kind == "s" or kind == "b" then
      strings[#strings + 1] = string.sub(item, 2)
    end
  end
  return strings
end

--- By bytes: `<` would go by the server's locale.
local function before(one, other)
  for i = 1, math.min(#one, #other) do
    local a, b = string.byte(one, i), string.byte(other, i)
    if a ~= b then
      return a < b
    end
  end
  return #one < #other
end

local function canonical(typed)
  local kind, text = string.sub(typed, 1, 1), string.sub(typed, 2)
  if kind == "b" then
    return "s" .. text
  elseif kind == "m" then
    return "m" .. M.canonical(text)
  elseif kind == "l" then
    local items = M.rows(text)
    for i = 1, #items do
      items[i] = canonical(items[i])
    end
    return "l" .. M.write(items)
  end
  return typed
end

--- The form of a table in which equal tables are equal bytes (codec.canonical_table).
function M.canonical(text)
  local rows, keys, values = M.rows(text), {}, {}
  for i = 1, #rows, 2 do
    keys[#keys + 1], values[rows[i]] = rows[i], canonical(rows[i + 1])
  end
  table.sort(keys, before)
  local sorted = {}
  for _, key in ipairs(keys) do
    sorted[#sorted + 1], sorted[#sorted + 2] = key, values[key]
  end
  return M.write(sorted)
end

return M
