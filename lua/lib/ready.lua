--- The ready entries of a queue: those never handed out, and those given back. Whatever becomes ready or ceases to be in a
-- queue with priorities or a limit of bytes passes through `gain` and `lose`.
local queues = require("lib.queues")
local traits_of = require("lib.traits")
local M = {}

--- The value of a field of an entry; `m` and `b` stand first, what else there is comes in pairs after them.
function M.field(fields, name)
  for i = 5, #fields, 2 do
    if fields[i] == name then
      return fields[i + 1]
    end
  end
end

--- The body of an entry, as scripts hold it; one that is shared is elsewhere (lib/bodies.lua).
function M.body(fields)
  return fields[5] == "s" and require("lib.bodies").of(fields) or fields[4]
end

--- The bytes of an entry's body.
function M.size(fields)
  return fields[5] == "s" and tonumber(string.match(fields[6], "%d+$")) or #fields[4]
end

--- When an entry expires, or nil. `is_new`: it was never handed out, so one of TTL 0 still waits for its consumer (`h`).
function M.expires(fields, is_new)
  return is_new and M.field(fields, "h") or M.field(fields, "x")
end

local function parts(id)
  local ms, sequence = string.match(id, "^(%d+)%-(%d+)$")
  return ms, sequence
end

--- Whether an entry id comes before another.
function M.before(one, other)
  local one_ms, one_sequence = parts(one)
  local other_ms, other_sequence = parts(other)
  if one_ms ~= other_ms then
    return tonumber(one_ms) < tonumber(other_ms)
  end
  return tonumber(one_sequence) < tonumber(other_sequence)
end

--- An id as a member of the order: members of one score are sorted by their bytes.
function M.member(id)
  local ms, sequence = parts(id)
  return string.rep("0", 16 - #ms) .. ms .. "-" .. string.rep("0", 20 - #sequence) .. sequence
end

function M.id(member)
  local ms, sequence = string.match(member, "^0*(%d+)%-0*(%d+)$")
  return ms .. "-" .. sequence
end

local function add_bytes(prefix, queue, id, bytes)
  if bytes == 0 then
    return -- it may be a negative zero, which Redis takes for no number
  end
  local measured, bound = string.match(redis.call("HGET", prefix .. "measures", queue) or "", "^(%S+) (%S+)$")
  if bound and M.before(measured, id) and not M.before(bound, id) then
    return -- the reaper has still to come to it, and counts it then
  end
  redis.call("HINCRBY", prefix .. "bytes", queue, bytes)
end

--- An entry became ready. Call it after a write.
function M.gain(prefix, queue, traits, id, bytes, priority)
  if traits.priority then
    redis.call("ZADD", prefix .. "order:" .. queue, -priority, M.member(id))
  end
  if traits.bytes then
    add_bytes(prefix, queue, id, bytes)
  end
end

--- An entry is ready no more.
function M.lose(prefix, queue, traits, id, bytes)
  if traits.priority then
    redis.call("ZREM", prefix .. "order:" .. queue, M.member(id))
  end
  if traits.bytes then
    add_bytes(prefix, queue, id, -bytes)
  end
end

--- Entries came back that were handed out.
function M.regain(prefix, queue, ids)
  local traits = traits_of.read(prefix, queue)
  if not traits_of.tracked(traits) then
    return
  end
  for _, id in ipairs(ids) do
    local entry = redis.call("XRANGE", prefix .. "stream:" .. queue, id, id)[1]
    if entry then
      M.gain(prefix, queue, traits, id, M.size(entry[2]), tonumber(M.field(entry[2], "p") or 0))
    end
  end
end

local function entry_of(stream_key, id)
  return redis.call("XRANGE", stream_key, id, id)[1]
end

local function first_by_order(prefix, queue, stream_key)
  local order_key = prefix .. "order:" .. queue
  local member = redis.call("ZRANGE", order_key, 0, 0)[1]
  while member do
    local id = M.id(member)
    local entry = entry_of(stream_key, id)
    if entry then
      local row = redis.call("XPENDING", stream_key, "g", id, id, 1, "-")[1]
      return entry, row ~= nil, not row or row[4] == 0
    end
    redis.call("ZREM", order_key, member) -- deleted by hand: without this the queue would look full for ever
    member = redis.call("ZRANGE", order_key, 0, 0)[1]
  end
end

--- The head: the entry that is handed out next, whether it was given back, whether nobody saw it; nil where nothing is ready.
function M.first(prefix, queue, traits)
  local stream_key = prefix .. "stream:" .. queue
  if traits.priority then
    return first_by_order(prefix, queue, stream_key)
  end
  -- What was given back is older than what was never handed out.
  if tonumber(redis.call("HGET", prefix .. "returned", queue) or 0) > 0 then
    local row = redis.call("XPENDING", stream_key, "g", "-", "+", 1, "-")[1]
    local entry = row and entry_of(stream_key, row[1])
    if entry then
      return entry, true, row[4] == 0
    end
  end
  local _, last = queues.group(stream_key)
  return redis.call("XRANGE", stream_key, "(" .. last, "+", "COUNT", 1)[1], false, true
end

--- Takes a ready entry out of its queue for good. It begins with a write that maxmemory never refuses.
function M.remove(prefix, queue, traits, entry, given_back)
  require("lib.departure").leave(prefix, queue, entry, 1, 1)
  if given_back then
    redis.call("HINCRBY", prefix .. "returned", queue, -1)
  end
  M.lose(prefix, queue, traits, entry[1], M.size(entry[2]))
end

return M
