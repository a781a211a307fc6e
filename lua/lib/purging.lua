--- Pages of a purge: entries that wait to be tried again, given-back ones, those never handed out, those of a queue with
-- priorities. The first write of each is one that maxmemory never refuses.
local departure = require("lib.departure")
local queues = require("lib.queues")
local ready = require("lib.ready")
local M = {}

function M.waiting(prefix, name, bound, limit)
  local ids = {}
  for i, row in ipairs(redis.call("XPENDING", prefix .. "stream:" .. name, "g", "-", bound, limit, "~")) do
    ids[i] = row[1]
  end
  if #ids > 0 then
    if require("lib.traits").read(prefix, name).trace then
      require("lib.trace").entries(prefix, name, ids, "purged")
    end
    departure.leave(prefix, name, ids, 1, #ids)
    redis.call("ZREM", prefix .. "retries:" .. name, unpack(ids))
    require("lib.retries").plan(prefix, name)
  end
  return #ids
end

function M.given_back(prefix, name, traits, bound, limit)
  local stream_key, ids, bytes = prefix .. "stream:" .. name, {}, {}
  for i, row in ipairs(redis.call("XPENDING", stream_key, "g", "-", bound, limit, "-")) do
    ids[i] = row[1]
    local entry = traits.bytes and redis.call("XRANGE", stream_key, row[1], row[1])[1]
    bytes[i] = entry and ready.size(entry[2])
  end
  if traits.trace then
    require("lib.trace").entries(prefix, name, ids, "purged")
  end
  if #ids > 0 then
    departure.leave(prefix, name, ids, 1, #ids)
    redis.call("HINCRBY", prefix .. "returned", name, -#ids)
  end
  for i, id in ipairs(ids) do
    if bytes[i] then
      ready.lose(prefix, name, traits, id, bytes[i])
    end
  end
  return #ids
end

--- XRANGE brings the bodies into Lua, so the pages grow only while what they bring is small.
function M.fresh(prefix, name, traits, bound, limit)
  local stream_key = prefix .. "stream:" .. name
  local _, last = queues.group(stream_key)
  local purged, bytes, page = 0, 0, 1
  while purged < limit and bytes < 1048576 do
    local ids, entries = {}, redis.call("XRANGE", stream_key, "(" .. last, bound, "COUNT", page)
    if #entries == 0 then
      break
    end
    for i, entry in ipairs(entries) do
      ids[i] = entry[1]
      bytes = bytes + #entry[2][4]
    end
    if traits.trace then
      require("lib.trace").entries(prefix, name, ids, "purged")
    end
    redis.call("XDEL", stream_key, unpack(ids))
    departure.gone(prefix, name, entries)
    for _, entry in ipairs(traits.bytes and entries or {}) do
      ready.lose(prefix, name, traits, entry[1], ready.size(entry[2]))
    end
    purged = purged + #ids
    page = math.min(page * 2, limit - purged)
  end
  return purged
end

--- What came after the bound is passed over; only then is more than one page looked at.
function M.by_order(prefix, name, traits, bound, limit)
  local stream_key, order_key, purged, from = prefix .. "stream:" .. name, prefix .. "order:" .. name, 0, 0
  while purged < limit do
    local members = redis.call("ZRANGE", order_key, from, from + limit - 1)
    for _, member in ipairs(members) do
      local id = ready.id(member)
      local entry = not ready.before(bound, id) and redis.call("XRANGE", stream_key, id, id)[1]
      if entry then
        if traits.trace then
          require("lib.trace").entries(prefix, name, { id }, "purged")
        end
        local given_back = redis.call("XACK", stream_key, "g", id)
        redis.call("XDEL", stream_key, id)
        departure.gone(prefix, name, { entry })
        if given_back == 1 then
          redis.call("HINCRBY", prefix .. "returned", name, -1)
        end
        ready.lose(prefix, name, traits, id, ready.size(entry[2]))
        purged = purged + 1
      else
        from = from + 1
      end
    end
    if #members < limit then
      break
    end
  end
  return purged
end

return M
