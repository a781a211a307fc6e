--- Large bodies that went to several queues: each is stored once, as `body:<id>`, and freed when the last entry that points to
-- it has left its queue. Such an entry has an empty `b`, and right behind it the field `s`: `<id>:<size>`. `shares` holds id -> how
-- many point to the body (entries, and dead letters on their way), `sharing` queue -> how many entries of it do.
-- Scripts hold such a body as a table: `id`, `size`, and `text` while it is at hand; any other body is a string.
local M = {}

--- A body that comes in, to be stored with the first entry that points to it.
function M.large(text)
  return { text = text, size = #text }
end

--- The body of an entry that has the field `s`.
function M.of(fields)
  local id, size = string.match(fields[6], "^(%w+):(%d+)$")
  return { id = id, size = tonumber(size) }
end

--- A body that the publisher has stored itself, as a key that expires: through Lua each byte of it would cost 2 ns more. Nil where
-- it is not there (memory was full, or it was evicted).
function M.stored(prefix, share)
  local size = redis.call("STRLEN", prefix .. "body:" .. share)
  return size > 0 and { id = share, size = size } or nil
end

--- Makes such a body ours, and keeps it while it is put into queues; `drop` ends that.
function M.adopt(prefix, body)
  redis.call("HINCRBY", prefix .. "shares", body.id, 1)
  redis.call("PERSIST", prefix .. "body:" .. body.id)
end

--- The body itself; false where it is gone (evicted or deleted by hand).
function M.text(prefix, body)
  return body.text or redis.call("GET", prefix .. "body:" .. body.id)
end

--- The queue gets the first entry that shares: from here on settle looks at what its consumers settle (lib/traces.lua has the
-- values of a fence).
local function mark(prefix, name)
  local consumers = redis.call("ZRANGE", prefix .. "users:" .. name, 0, -1)
  for first = 1, #consumers, 1000 do
    local last = math.min(first + 999, #consumers)
    for i, fence in ipairs(redis.call("HMGET", prefix .. "fences", unpack(consumers, first, last))) do
      if fence == "1" then
        redis.call("HSET", prefix .. "fences", consumers[first + i - 1], "s")
      end
    end
  end
end

--- Counts an entry that is about to enter the queue; returns its field `s`. Where all that pointed to the body have gone in this
-- same call (the queue before dropped it at once) it is stored again.
function M.refer(prefix, name, body)
  body.id = body.id or string.format("%.0f", redis.call("HINCRBY", prefix .. "vhost", "next", 1))
  if redis.call("HINCRBY", prefix .. "shares", body.id, 1) == 1 and body.text then
    redis.call("SET", prefix .. "body:" .. body.id, body.text)
  end
  if redis.call("HINCRBY", prefix .. "sharing", name, 1) == 1 then
    mark(prefix, name)
  end
  return body.id .. ":" .. string.format("%.0f", body.size)
end

--- Appends a message to plain queues; the last entry's id.
function M.append(prefix, names, envelope, text)
  local body, entry = M.large(text), nil
  for _, name in ipairs(names) do
    local share = M.refer(prefix, name, body)
    entry = redis.call("XADD", prefix .. "stream:" .. name, "*", "m", envelope, "b", "", "s", share)
  end
  return entry
end

--- Keeps a body for a dead letter on its way: the entry is about to leave. It begins with a write that maxmemory never refuses.
function M.keep(prefix, body)
  if not body.text then
    redis.call("HDEL", prefix .. "vhost", "")
    redis.call("HINCRBY", prefix .. "shares", body.id, 1)
  end
end

local function free(prefix, id)
  local left = redis.call("HINCRBY", prefix .. "shares", id, -1)
  if left <= 0 then
    redis.call("HDEL", prefix .. "shares", id)
  end
  if left == 0 then -- less: the counts were evicted, and others may still point to it
    redis.call("UNLINK", prefix .. "body:" .. id)
  end
end

--- The letter, or what was adopted, has arrived.
function M.drop(prefix, body)
  if not body.text then
    free(prefix, body.id)
  end
end

--- Entries have left the queue. Call it after a write; `entries` may hold others, too. Returns how many of them shared.
function M.gone(prefix, name, entries)
  local count = 0
  for _, entry in ipairs(entries) do
    if entry[2][5] == "s" then
      free(prefix, M.of(entry[2]).id)
      count = count + 1
    end
  end
  if name and count > 0 and redis.call("HINCRBY", prefix .. "sharing", name, -count) <= 0 then
    redis.call("HDEL", prefix .. "sharing", name)
  end
  return count
end

--- What a consumer is handed in place of a body, to fetch it: in Lua each byte of it would cost 2 ns. One that is gone is told at
-- the end of the call, and all that was taken goes back.
function M.hand(state, queue_name, entry_id, fields)
  if redis.call("EXISTS", state.prefix .. "body:" .. M.of(fields).id) == 0 then
    state.lost = M.lost(queue_name, entry_id)
  end
  return fields[6]
end

--- What is said of a message whose body is gone.
function M.lost(queue_name, entry_id)
  local hint = "the body of message " .. entry_id .. " is gone (evicted or deleted by hand): delete the message"
  return require("lib.refuse").text("TOPOLOGY_LOST", "queue", queue_name, hint)
end

return M
