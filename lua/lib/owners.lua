--- Who owns entries of a queue's group, and what that makes of them.
local M = {}

--- The state of an entry by its owner; nil where it was never handed out.
function M.state(owner)
  if not owner or owner == "-" then
    return "ready"
  end
  return owner == "~" and "waiting" or "unacked" -- to be tried again (lib/retries.lua)
end

--- Notes who holds an entry: in `holders` its name and record in turn, each consumer once.
function M.note(prefix, seen, holders, owner)
  if not seen[owner] then
    seen[owner] = true
    holders[#holders + 1], holders[#holders + 2] = owner, redis.call("HGET", prefix .. "consumers", owner) or ""
  end
end

return M
