--- The reaper's look at one queue: a page of what is unacked; what is overdue, or belongs to no one, is given back.
local consumers = require("lib.consumers")
local queues = require("lib.queues")
local returns = require("lib.returns")
local clock = require("lib.clock")
local M = {}

--- Rows of one page: about 0.1 ms of the server's time (docs/architecture.md, Sessions and the reaper).
local PAGE = 100
--- A queue with more unacked than one page is not scanned more often than this.
local PAUSE_MS, SHORT_PAUSE_MS = 1000, 20

--- Sorts a page by what is to be done; `state.earliest_ms` becomes the least time until an entry of it is overdue.
local function judge(prefix, rows, state)
  local overdue = {}
  for _, row in ipairs(rows) do
    local owner, idle_ms = row[2], row[3]
    if owner ~= "-" then
      local known = state.owners[owner]
      if known == nil then
        known = consumers.read(prefix, owner) or false
        state.owners[owner] = known
      end
      if not known or idle_ms >= known.timeout_ms then
        overdue[owner] = overdue[owner] or {}
        table.insert(overdue[owner], row[1])
      else
        state.earliest_ms = math.min(state.earliest_ms, known.timeout_ms - idle_ms)
      end
    end
  end
  return overdue
end

--- The shortest ack timeout of the queue's consumers: nothing that they take from now on is overdue before.
local function shortest_ms(prefix, name)
  local shortest = math.huge
  for _, user in ipairs(redis.call("SMEMBERS", prefix .. "users:" .. name)) do
    local known = consumers.read(prefix, user)
    if known then
      shortest = math.min(shortest, known.timeout_ms)
    end
  end
  return shortest
end

--- Looks at one page; how many entries were given back. The queue's next visit is set.
function M.visit(prefix, name, now_ms)
  local queue = queues.read(prefix, name)
  if not queue or queues.broken(prefix, name, queue) then
    redis.call("ZREM", prefix .. "due", name)
    return 0
  end
  local state = { owners = {}, earliest_ms = math.huge }
  local from, paged = "-", redis.call("HGET", prefix .. "visits", name)
  if paged then
    local earliest
    from, earliest = string.match(paged, "^(%S+) (%S+)$")
    state.earliest_ms = earliest == "none" and math.huge or tonumber(earliest)
  end
  local rows = redis.call("XPENDING", prefix .. "stream:" .. name, "g", from, "+", PAGE)
  local given = 0
  for owner, ids in pairs(judge(prefix, rows, state)) do
    given = given + returns.take_away(prefix, name, ids, owner)
  end
  if given > 0 then
    returns.post(prefix, name)
  end
  redis.call("HDEL", prefix .. "visits", name)
  if #rows == PAGE then
    local earliest = state.earliest_ms == math.huge and "none" or clock.text(state.earliest_ms)
    redis.call("HSET", prefix .. "visits", name, "(" .. rows[PAGE][1] .. " " .. earliest)
    return given
  end
  local next_ms = math.min(state.earliest_ms, shortest_ms(prefix, name))
  if next_ms == math.huge then
    redis.call("ZREM", prefix .. "due", name)
    return given
  end
  -- A token may have been taken by a consumer that then died before it took anything.
  if tonumber(redis.call("HGET", prefix .. "returned", name) or 0) > 0 then
    returns.post(prefix, name)
  end
  next_ms = now_ms + math.max(next_ms, paged and PAUSE_MS or SHORT_PAUSE_MS)
  redis.call("ZADD", prefix .. "due", clock.text(next_ms), name)
  return given
end

return M
