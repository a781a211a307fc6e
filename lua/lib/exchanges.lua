--- Deleting an exchange with its bindings in both directions.
local bindings = require("lib.bindings")
local M = {}

--- How many bindings one call may take away; a caller that can wait passes a limit and comes again.
local ALL = 1000000000

--- True when the exchange is gone; false when `limit` bindings went and more are left.
function M.delete(prefix, name, limit)
  limit = limit or ALL
  if bindings.remove_outbound(prefix, name, limit) or bindings.remove_inbound(prefix, "x", name, limit) then
    return false
  end
  redis.call("UNLINK", prefix .. "routes:" .. name, prefix .. "history:" .. name)
  redis.call("HDEL", prefix .. "exchanges", name)
  return true
end

return M
