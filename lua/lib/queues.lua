--- What scripts ask of a queue: its record, its counts, its end.
local pack = require("lib.pack")
local M = {}

--- How many bindings one call may take away; a caller that can wait passes a limit and comes again.
local ALL = 1000000000

--- The parsed record, or nil where there is no such queue.
function M.read(prefix, name)
  local record = redis.call("HGET", prefix .. "queues", name)
  if not record then
    return nil
  end
  local auto_delete, incarnation, timeout_ms, rest = string.match(record, "^%d(%d);(%d+);(%d+);()")
  if not auto_delete then
    return { record = record, corrupt = true, auto_delete = false, incarnation = "", timeout_ms = 0, owner = "" }
  end
  return {
    record = record,
    auto_delete = auto_delete == "1",
    incarnation = incarnation,
    timeout_ms = tonumber(timeout_ms),
    owner = pack.read(record, rest),
  }
end

--- A refusal where another session owns the queue alone (405), else nil.
function M.locked(queue, name, session)
  if queue.owner ~= "" and queue.owner ~= session then
    return require("lib.refuse").reply("RESOURCE_LOCKED", "queue", name, "it is exclusive to another session")
  end
end

--- A refusal for a queue that is not declared (404); a vhost without any may be another server's or database's.
function M.missing(prefix, name)
  local hint = "no such queue; declare it first"
  if redis.call("EXISTS", prefix .. "queues") == 0 then
    hint = "no such queue, and this vhost has none at all: is it the right server, database and vhost?"
  end
  return require("lib.refuse").reply("NOT_FOUND", "queue", name, hint)
end

--- Why a queue cannot be used though it is declared (somebody else's hand, or eviction), as text; nil where it can.
function M.broken(prefix, name, queue)
  if queue and queue.corrupt then
    return require("lib.refuse").text("TOPOLOGY_LOST", "queue", name, "its stored record is corrupt; delete it and declare it anew")
  end
  local kind = redis.call("TYPE", prefix .. "stream:" .. name)["ok"]
  if kind ~= "stream" then
    return require("lib.refuse").text(
      "TOPOLOGY_LOST",
      "queue",
      name,
      "its stream " .. (kind == "none" and "is gone (evicted or deleted by hand)" or "was replaced by a " .. kind)
    )
  end
end

--- How many entries the group has handed out and not settled (given back included), and the last one that it handed out.
function M.group(stream_key)
  local info, pending, last = redis.call("XINFO", "GROUPS", stream_key)[1], 0, "0-0"
  for i = 1, #info, 2 do
    if info[i] == "pending" then
      pending = info[i + 1]
    elseif info[i] == "last-delivered-id" then
      last = info[i + 1]
    end
  end
  return pending, last
end

--- The id of the newest entry that there ever was.
function M.last(prefix, name)
  local info = redis.call("XINFO", "STREAM", prefix .. "stream:" .. name)
  for i = 1, #info, 2 do
    if info[i] == "last-generated-id" then
      return info[i + 1]
    end
  end
end

--- Entries that are ready, and those that consumers hold or that wait to be tried again.
function M.counts(prefix, name)
  local stream_key = prefix .. "stream:" .. name
  local pending = M.group(stream_key)
  local returned = tonumber(redis.call("HGET", prefix .. "returned", name) or 0)
  return redis.call("XLEN", stream_key) - pending + returned, pending - returned
end

--- Entries that wait to be tried again (lib/retries.lua).
function M.waiting(prefix, name)
  return redis.call("ZCARD", prefix .. "retries:" .. name)
end

--- Notes that the queue is used now, for one that is to go when nobody uses it (x-expires). Call it after a write.
function M.used(prefix, name, traits)
  if traits.expires then
    local clock = require("lib.clock")
    local now_ms = clock.now_ms()
    redis.call("HSET", prefix .. "idle", name, clock.text(now_ms))
    require("lib.due").plan(prefix, name, now_ms + traits.expires)
  end
end

--- Hashes that know a queue by its name.
local FIELDS = {
  "returned",
  "managed",
  "visits",
  "traits",
  "windows",
  "choosy",
  "sole",
  "idle",
  "timed",
  "bytes",
  "measures",
  "offsets",
  "traced",
  "sharing",
}

--- True when the queue is gone; false when `limit` bindings went and more are left.
-- Its consumers lose their fences, so a late ack finds nothing; a blocked one is woken by the end of the stream.
function M.delete(prefix, name, limit)
  local queue = M.read(prefix, name)
  if not queue then
    return true
  end
  if require("lib.bindings").remove_inbound(prefix, "q", name, limit or ALL) then
    return false
  end
  for _, consumer in ipairs(redis.call("ZRANGE", prefix .. "users:" .. name, 0, -1)) do
    redis.call("HDEL", prefix .. "fences", consumer)
  end
  if redis.call("HEXISTS", prefix .. "sharing", name) == 1 then
    require("lib.graves").bury(prefix, name)
  end
  for _, kind in ipairs({ "stream:", "wake:", "users:", "order:", "ranks:", "waiting:", "marks:", "places:", "retries:" }) do
    redis.call("UNLINK", prefix .. kind .. name)
  end
  for _, hash in ipairs(FIELDS) do
    redis.call("HDEL", prefix .. hash, name)
  end
  redis.call("ZREM", prefix .. "due", name)
  redis.call("ZREM", prefix .. "retrying", name)
  if queue.owner ~= "" then
    redis.call("SREM", prefix .. "session:" .. queue.owner, "q" .. name)
  end
  redis.call("HDEL", prefix .. "queues", name)
  return true
end

return M
