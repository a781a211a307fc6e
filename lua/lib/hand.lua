--- Handing a queue's entries to a consumer, in their order; what has expired on the way is not handed out.
local arrivals = require("lib.arrivals")
local departure = require("lib.departure")
local ready = require("lib.ready")
local M = {}

--- So many that have expired are passed over in one call, about 5 ms; then the caller comes again.
local PAGE = 100

--- Notes that the consumer has an entry now; false where it has expired, and leaves the queue instead.
local function accept(state, queue, consumer, entry, count, add)
  local fields = entry[2]
  local expires = ready.expires(fields, count == 1)
  ready.lose(state.prefix, queue.name, queue.traits, entry[1], ready.size(fields))
  if expires and tonumber(expires) <= state.now_ms then
    arrivals.died(state, queue, fields, "expired")
    departure.leave(state.prefix, queue.name, entry, 1, 1)
    return false
  end
  add(entry[1], count, fields, expires)
  if queue.traits.trace then
    require("lib.trace").delivered(state, queue, consumer, entry, count)
  end
  return true
end

--- Claims given-back entries by their ids; how many of them were handed out.
local function claim(state, queue, consumer, ids, counts, add)
  local got = 0
  for _, entry in ipairs(redis.call("XCLAIM", queue.key, "g", consumer, 0, unpack(ids))) do
    if entry and entry[2] and accept(state, queue, consumer, entry, counts[entry[1]], add) then
      got = got + 1
    end
  end
  redis.call("HINCRBY", state.prefix .. "returned", queue.name, -#ids)
  return got
end

--- A page of what was given back: how many were handed out, how many there were.
local function given_back(state, queue, consumer, wanted, add)
  local rows = redis.call("XPENDING", queue.key, "g", "-", "+", wanted, "-")
  if #rows == 0 then
    return 0, 0
  end
  local ids, counts = {}, {}
  for i, row in ipairs(rows) do
    ids[i], counts[row[1]] = row[1], row[4] + 1
  end
  return claim(state, queue, consumer, ids, counts, add), #rows
end

--- A page of what was never handed out.
local function fresh(state, queue, consumer, wanted, add)
  local reply = redis.call("XREADGROUP", "GROUP", "g", consumer, "COUNT", wanted, "STREAMS", queue.key, ">")
  local entries, got = reply and reply[1] and reply[1][2] or {}, 0
  for _, entry in ipairs(entries) do
    if accept(state, queue, consumer, entry, 1, add) then
      got = got + 1
    end
  end
  return got, #entries
end

--- A page by priority: the group's own order is of no use, so entries are claimed one by one.
local function by_order(state, queue, consumer, wanted, add)
  local members, got = redis.call("ZRANGE", state.prefix .. "order:" .. queue.name, 0, wanted - 1), 0
  for _, member in ipairs(members) do
    local id = ready.id(member)
    local row = redis.call("XPENDING", queue.key, "g", id, id, 1, "-")[1]
    if row then
      got = got + claim(state, queue, consumer, { id }, { [id] = row[4] + 1 }, add)
    else
      local entry = redis.call("XCLAIM", queue.key, "g", consumer, 0, id, "RETRYCOUNT", 1, "FORCE")[1]
      got = got + (entry and entry[2] and accept(state, queue, consumer, entry, 1, add) and 1 or 0)
    end
    redis.call("ZREM", state.prefix .. "order:" .. queue.name, member)
  end
  return got, #members
end

--- Hands out up to `wanted` entries; how many. In place of an expired one the next is taken, for a page of them at most.
function M.hand(state, queue, consumer, wanted, add)
  local total, looked = 0, 0
  local function go_on(page)
    local got, seen
    repeat
      got, seen = page(state, queue, consumer, wanted - total, add)
      total, looked = total + got, looked + seen
    until total >= wanted or seen == 0 or looked - total >= PAGE
    state.more = state.more or total < wanted and seen > 0
  end
  if queue.traits.priority then
    go_on(by_order)
    return total
  end
  if tonumber(redis.call("HGET", state.prefix .. "returned", queue.name) or 0) > 0 then
    go_on(given_back)
  end
  if total < wanted then
    go_on(fresh)
  end
  return total
end

return M
