--- Take entries for a consumer: those given back first, oldest first, then new ones, as many as asked over all its queues.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] consumer   its name
-- ARGV[3] window     entries wanted in all
-- ARGV[4] plan       1: see to it that the reaper looks at these queues in time (a registered consumer has seen to it)
-- ARGV[5..]          per queue: name, incarnation, wake token's id or empty, count of entries read and not shown, those ids
-- Returns for each entry: index of its queue, id, delivery count, envelope, body. NOT_FOUND when a queue is gone.
local vhost_key, vhost_id, consumer, window, plan = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local queues, at = {}, 5
while at <= #ARGV do
  local name, count, unseen, counts = ARGV[at], tonumber(ARGV[at + 3]), {}, {}
  for i = 1, count do
    unseen[i], counts[i] = ARGV[at + 3 + i], 1
  end
  local known = require("lib.queues").read(prefix, name)
  if not known or known.incarnation ~= ARGV[at + 1] then
    return require("lib.queues").missing(prefix, name)
  end
  queues[#queues + 1] = { name = name, token = ARGV[at + 2], unseen = unseen, counts = counts, stream_key = prefix .. "stream:" .. name }
  at = at + 4 + count
end
local known = require("lib.consumers").read(prefix, consumer)
if not known then
  return require("lib.refuse").reply("SESSION_GONE", "consumer", consumer, "it is not registered (its session was reaped)")
end

local returns = require("lib.returns")
local taken = {}

local function add(index, entry, count)
  local size = #taken
  taken[size + 1], taken[size + 2], taken[size + 3] = index, entry[1], count
  taken[size + 4], taken[size + 5] = entry[2][2], entry[2][4]
end

local function take_given_back(index, queue, wanted)
  local rows = redis.call("XPENDING", queue.stream_key, "g", "-", "+", wanted, "-")
  if #rows == 0 then
    return 0
  end
  local ids, counts = {}, {}
  for i, row in ipairs(rows) do
    ids[i], counts[row[1]] = row[1], row[4] + 1
  end
  local entries, got = redis.call("XCLAIM", queue.stream_key, "g", consumer, 0, unpack(ids)), 0
  for _, entry in ipairs(entries) do
    if entry and entry[2] then
      add(index, entry, counts[entry[1]])
      got = got + 1
    end
  end
  redis.call("HINCRBY", prefix .. "returned", queue.name, -#rows)
  return got
end

local function take_new(index, queue, wanted)
  local reply = redis.call("XREADGROUP", "GROUP", "g", consumer, "COUNT", wanted, "STREAMS", queue.stream_key, ">")
  local entries = reply and reply[1] and reply[1][2] or {}
  for _, entry in ipairs(entries) do
    add(index, entry, 1)
  end
  return #entries
end

-- A first pass gives each queue its share, so that a full one does not starve the others; a second takes what is left.
local left = window
local share = math.max(1, math.floor(window / #queues))
-- With fewer places than queues each queue has the same chance to be the first.
local turn = window < #queues and redis.call("TIME")[2] % #queues or 0
for _, queue in ipairs(queues) do
  if queue.token ~= "" then
    redis.call("XACK", prefix .. "wake:" .. queue.name, "g", queue.token)
    redis.call("XDEL", prefix .. "wake:" .. queue.name, queue.token)
  end
  returns.put_back(prefix, queue.name, queue.unseen, queue.counts)
end
for pass = 1, 2 do
  for place = 0, #queues - 1 do
    local index = (place + turn) % #queues + 1
    local queue = queues[index]
    local wanted = math.min(left, pass == 1 and share or left)
    if wanted > 0 then
      local got = tonumber(redis.call("HGET", prefix .. "returned", queue.name) or 0) > 0 and take_given_back(index, queue, wanted) or 0
      left = left - got
      wanted = wanted - got
      if wanted > 0 then
        left = left - take_new(index, queue, wanted)
      end
    end
  end
end

local library = require("lib.queues")
local clock = require("lib.clock")
for _, queue in ipairs(queues) do
  -- The token that woke this consumer may have been meant for more entries than its window had room for.
  if queue.token ~= "" then
    local given_back = tonumber(redis.call("HGET", prefix .. "returned", queue.name) or 0)
    local managed = redis.call("HEXISTS", prefix .. "managed", queue.name) == 1
    if given_back > 0 or managed and library.counts(prefix, queue.name) > 0 then
      returns.post(prefix, queue.name)
    end
  end
  if plan == "1" and #taken > 0 then
    redis.call("ZADD", prefix .. "due", "LT", clock.text(clock.now_ms() + known.timeout_ms), queue.name)
  end
end
return taken
