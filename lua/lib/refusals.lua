--- Why an exchange takes no message.
local refuse = require("lib.refuse")
local router = require("lib.router")
local M = {}

--- The refusal for an exchange that is missing, internal or corrupt.
function M.of_exchange(calls, exchange)
  local known = exchange ~= "" and router.exchange(calls, exchange)
  if calls.corrupt == exchange then
    return refuse.text("TOPOLOGY_LOST", "exchange", exchange, "its stored record is corrupt; delete it and declare it anew")
  elseif not known and exchange ~= "" then
    local hint = "no such exchange; declare it first"
    if redis.call("EXISTS", calls.prefix .. "queues") == 0 then
      hint = hint .. " (this vhost has no queues either: is it the right server, database and vhost?)"
    end
    return refuse.text("NOT_FOUND", "exchange", exchange, hint)
  elseif known and known.internal then
    return refuse.text("ACCESS_REFUSED", "exchange", exchange, "it is internal: only other exchanges may send to it")
  end
end

return M
