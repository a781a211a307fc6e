--- The caller's own Redis commands in a transaction. Their replies become text: a letter and a netstring; `i` a number, `b` bytes,
-- `s` a status, `n` nil, `l` the length of a list, whose items follow.
local pack = require("lib.pack")
local M = {}

--- First and last argument of each command, and where the arguments go on.
function M.read(args, at)
  local commands = {}
  for i = 1, tonumber(args[at]) do
    local last = at + 1 + tonumber(args[at + 1])
    commands[i] = { at + 2, last }
    at = last
  end
  return commands, at + 1
end

local function encode(reply, parts)
  local kind = type(reply)
  if kind == "string" then
    parts[#parts + 1] = "b" .. pack.net(reply)
  elseif kind == "number" then
    parts[#parts + 1] = "i" .. pack.net(string.format("%.0f", reply))
  elseif kind ~= "table" then
    parts[#parts + 1] = "n0:"
  elseif reply.ok then
    parts[#parts + 1] = "s" .. pack.net(reply.ok)
  else
    parts[#parts + 1] = "l" .. pack.net(tostring(#reply))
    for i = 1, #reply do
      encode(reply[i], parts)
    end
  end
end

--- Runs them in turn and returns their replies; or nil, which one failed, and its error: those after it did not run.
function M.run(args, commands)
  local parts = {}
  for i = 1, #commands do
    local reply = redis.pcall(unpack(args, commands[i][1], commands[i][2]))
    if type(reply) == "table" and reply.err then
      return nil, i, tostring(reply.err) -- fakeredis has an object there
    end
    encode(reply, parts)
  end
  return table.concat(parts)
end

local function flags_of(name)
  local told = redis.pcall("COMMAND", "INFO", string.lower(name))
  return type(told) == "table" and type(told[1]) == "table" and told[1][3] or {}
end

--- Whether a command may write: by its flags, or those of its subcommand. One of which the server tells nothing may.
local function writes(name, subcommand)
  local flags = flags_of(name)
  if #flags == 0 then
    flags = flags_of(name .. "|" .. subcommand)
  end
  for i = 1, #flags do
    if (type(flags[i]) == "table" and flags[i].ok or flags[i]) == "write" then
      return true
    end
  end
  return #flags == 0
end

--- The numbers, from 0, of those before the one that failed that may have written.
function M.written(args, commands, failed)
  local found = {}
  for i = 1, failed - 1 do
    local first = commands[i][1]
    if writes(args[first], args[first + 1] or "") then
      found[#found + 1] = i - 1
    end
  end
  return found
end

return M
