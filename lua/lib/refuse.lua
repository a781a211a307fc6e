--- Coded refusals: the first word is the AMQP name, the same text on every server (rexchange/protocol/refusals.py reads it).
local M = {}

local function escape(name)
  return (string.gsub(name, "[%%|\r\n]", function(char)
    return string.format("%%%02X", string.byte(char))
  end))
end

function M.text(code, kind, name, message)
  return code .. " " .. kind .. "|" .. escape(name) .. "|" .. message
end

function M.reply(code, kind, name, message)
  return redis.error_reply(M.text(code, kind, name, message))
end

return M
