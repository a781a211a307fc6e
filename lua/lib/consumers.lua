--- A consumer in Redis: its record, what it holds, its end.
-- Record: `<timeout_ms>;<managed 0|1>;<netstring packed queues><netstring session><table>`.
local pack = require("lib.pack")
local queues = require("lib.queues")
local returns = require("lib.returns")
local M = {}

function M.read(prefix, name)
  local record = redis.call("HGET", prefix .. "consumers", name)
  if not record then
    return nil
  end
  local timeout_ms, managed, rest = string.match(record, "^(%d+);(%d);()")
  if not timeout_ms then
    return nil
  end
  local packed, after = pack.read(record, rest)
  local _, names = pack.destinations(packed)
  return {
    timeout_ms = tonumber(timeout_ms),
    managed = managed == "1",
    queues = names,
    session = pack.read(record, after),
  }
end

--- Gives back what `name` holds in a queue, at most `limit` rows from `from` on: how many rows there were, and the last id.
-- `seen` is the set of ids that its user was shown; the others are put back as never read. Without `seen` (the process died)
-- all count as shown. What was shown stays with `options.keep`, goes to `options.heir`, or is given back.
function M.release(prefix, name, queue, limit, options)
  local stream_key = prefix .. "stream:" .. queue
  local rows = redis.call("XPENDING", stream_key, "g", options.from or "-", "+", limit, name)
  local shown, unseen, counts = {}, {}, {}
  for _, row in ipairs(rows) do
    local id = row[1]
    if options.seen and not options.seen[id] then
      unseen[#unseen + 1], counts[#counts + 1] = id, row[4]
    elseif options.heir then
      redis.call("XCLAIM", stream_key, "g", options.heir, 0, id, "IDLE", row[3], "JUSTID")
      options.inherited[id] = true
    elseif not options.keep then
      shown[#shown + 1] = id
    end
  end
  returns.put_back(prefix, queue, unseen, counts)
  returns.give_back(prefix, queue, shown)
  if #unseen + #shown > 0 then
    returns.post(prefix, queue)
  end
  return #rows, #rows > 0 and rows[#rows][1]
end

local function leave_queue(prefix, name, queue_name, managed)
  local queue = queues.read(prefix, queue_name)
  if not queue then
    return
  end
  local stream_key = prefix .. "stream:" .. queue_name
  -- DELCONSUMER throws away what is pending, so only one that holds nothing may go.
  if #redis.call("XPENDING", stream_key, "g", "-", "+", 1, name) == 0 then
    redis.call("XGROUP", "DELCONSUMER", stream_key, "g", name)
  end
  -- A token that it read and did not act on would be lost with it.
  local wake_key = prefix .. "wake:" .. queue_name
  if redis.call("EXISTS", wake_key) == 1 and redis.call("XGROUP", "DELCONSUMER", wake_key, "g", name) > 0 then
    returns.post(prefix, queue_name)
  end
  local was_user = redis.call("SREM", prefix .. "users:" .. queue_name, name) == 1
  if was_user and managed and redis.call("HINCRBY", prefix .. "managed", queue_name, -1) <= 0 then
    redis.call("HDEL", prefix .. "managed", queue_name)
  end
  if was_user and queue.auto_delete and redis.call("EXISTS", prefix .. "users:" .. queue_name) == 0 then
    queues.delete(prefix, queue_name)
  end
end

--- Unregisters a consumer that holds nothing more; an auto-delete queue goes with its last one.
function M.forget(prefix, name, consumer)
  redis.call("HDEL", prefix .. "fences", name)
  redis.call("HDEL", prefix .. "consumers", name)
  redis.call("SREM", prefix .. "session:" .. consumer.session, "c" .. name)
  for _, queue_name in ipairs(consumer.queues) do
    leave_queue(prefix, name, queue_name, consumer.managed)
  end
end

return M
