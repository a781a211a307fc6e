--- How a message enters a queue that is more than plain: its expiry, its priority, the queue's limits; and what has to
-- leave for it. A `state` lives for one script call; `finish` sends its dead letters, wakes consumers, plans visits.
local clock = require("lib.clock")
local queues = require("lib.queues")
local ready = require("lib.ready")
local traits_of = require("lib.traits")
local M = {}

--- A message of TTL 0 lives for a consumer that has room for it, which then has so long to come for it.
local HANDOVER_MS = 1000
--- So many heads are taken off a queue in one call; the reaper goes on with what is left.
local PAGE = 100

local NOTHING = { count = 0, bytes = 0 }

--- A body is a string, or a table where it is shared (lib/bodies.lua).
function M.size_of(body)
  return type(body) == "table" and body.size or #body
end

--- The whole body; false where it is gone (evicted).
function M.text_of(state, body)
  return type(body) == "string" and body or require("lib.bodies").text(state.prefix, body)
end

--- `tracing`: whether a trace is on, where the caller knows; else it is asked for when a message comes.
function M.new(prefix, calls, tracing)
  local state = { prefix = prefix, calls = calls, now_ms = clock.now_ms(), queues = {}, letters = {}, touched = {} }
  state.tracing = tracing
  return state
end

--- A queue as this call knows it; false where it is gone or broken.
function M.queue(state, name)
  local known = state.queues[name]
  if known == nil then
    local key = state.prefix .. "stream:" .. name
    known = redis.call("TYPE", key)["ok"] == "stream" and { name = name, key = key, traits = traits_of.read(state.prefix, name) }
    state.queues[name] = known
  end
  return known
end

--- Looks up how full the queue is and for how many messages its consumers have room, once a call: RabbitMQ pushes to
-- them at once, so what they have room for is not in the queue for it.
local function measure(state, queue)
  if not queue.ready then
    local count, unacked = queues.counts(state.prefix, queue.name)
    queue.ready, queue.room = count, require("lib.consumers").room(state.prefix, queue.name, queue.traits.single, unacked)
    queue.bytes = queue.traits.bytes and tonumber(redis.call("HGET", state.prefix .. "bytes", queue.name) or 0)
    queue.measuring = queue.traits.bytes and redis.call("HEXISTS", state.prefix .. "measures", queue.name) == 1
  end
end

local function is_over(queue)
  local traits = queue.traits
  if queue.ready <= queue.room then
    return false
  end
  return traits.length and queue.ready > traits.length + queue.room or traits.bytes and not queue.measuring and queue.bytes > traits.bytes
end

--- Whether a queue that refuses is full for a body of so many bytes, after `before`: the count and bytes of others that come first.
-- RabbitMQ asks before it looks for a consumer, but had pushed all that there was room for; what is in the queue here beyond
-- that is what its queue holds.
local function is_full(queue, bytes, before)
  local traits, behind = queue.traits, math.max(queue.ready + before.count - queue.room, 0)
  if traits.length and behind >= traits.length then
    return true
  end
  return traits.bytes and not queue.measuring and (behind > 0 and queue.bytes + before.bytes or 0) + bytes > traits.bytes
end

--- Whether a queue will take a message of so many bytes after others: `before`, their `count` and `bytes`. `gently`: without
-- dropping any for it.
function M.takes(state, queue, bytes, before, gently)
  local traits = queue.traits
  if not (traits.overflow or gently) or traits.kind == "stream" or not (traits.length or traits.bytes) then
    return true
  end
  measure(state, queue)
  if not traits.overflow and queue.ready + before.count < queue.room then
    return true
  end
  return not is_full(queue, bytes, before)
end

local function letter(state, queue, envelope, body, reason)
  if queue.traits.trace then
    redis.call("HDEL", state.prefix .. "vhost", "") -- never refused, so that the rest runs whatever the memory
    require("lib.trace").died(state, queue, envelope, reason)
  end
  if queue.traits.dlx then
    if type(body) == "table" then
      require("lib.bodies").keep(state.prefix, body)
    end
    state.letters[#state.letters + 1] = { queue = queue, envelope = envelope, body = body, reason = reason }
  end
end

--- Notes that an entry has died. Call it before the entry leaves, which may free its body.
function M.died(state, queue, fields, reason)
  letter(state, queue, fields[2], ready.body(fields), reason)
end

--- Takes a ready entry out of its queue for good, and no more: it has not died.
function M.take_out(state, queue, entry, given_back)
  ready.remove(state.prefix, queue.name, queue.traits, entry, given_back)
  if queue.ready then
    queue.ready = queue.ready - 1
    queue.bytes = queue.bytes and queue.bytes - ready.size(entry[2])
  end
end

local function take_head(state, queue, entry, given_back, reason)
  M.died(state, queue, entry[2], reason)
  M.take_out(state, queue, entry, given_back)
end

--- Drops heads while the queue is over its limits (overflow drop-head): how many went, and whether more have to.
function M.trim(state, queue)
  local count, more = 0, false
  if not (queue.traits.length or queue.traits.bytes) or queue.traits.overflow then
    return count, more
  end
  measure(state, queue)
  while is_over(queue) do
    local entry, given_back = ready.first(state.prefix, queue.name, queue.traits)
    if not entry then
      break
    elseif count == PAGE then
      require("lib.due").plan(state.prefix, queue.name, state.now_ms)
      more = true
      break
    end
    take_head(state, queue, entry, given_back, "maxlen")
    count = count + 1
  end
  return count, more
end

--- Drops heads that have expired: how many went, and when the one that is the head now will expire (nil: never).
function M.expire(state, queue)
  local count = 0
  while true do
    local entry, given_back, is_new = ready.first(state.prefix, queue.name, queue.traits)
    local expires_ms = entry and tonumber(ready.expires(entry[2], is_new) or nil)
    if not expires_ms then
      return count, nil
    elseif expires_ms > state.now_ms or count == PAGE then
      return count, math.max(expires_ms, state.now_ms)
    end
    take_head(state, queue, entry, given_back, "expired")
    count = count + 1
  end
end

--- Drops expired heads where a queue may have some, so that counts do not show them.
function M.refresh(prefix, name)
  if redis.call("HEXISTS", prefix .. "timed", name) == 1 then
    local state = M.new(prefix)
    local queue = M.queue(state, name)
    if queue then
      M.expire(state, queue)
      M.finish(state)
    end
  end
end

--- How many of what is ready RabbitMQ had pushed by now; nil where the queue has no limit.
function M.pushed(prefix, name)
  local traits = traits_of.read(prefix, name)
  if traits.length or traits.bytes then
    local queue = { name = name, traits = traits }
    measure({ prefix = prefix }, queue)
    return math.min(queue.ready, queue.room)
  end
end

--- Entries came back, or a consumer that had room for some has left: what the queue has no room for dies, and what expired
-- meanwhile; the reaper comes for the rest in time. Call it after a write.
-- `pushed`: what RabbitMQ had pushed before they came; it drops first, and then looks who has room.
function M.review(prefix, name, pushed)
  local timed = redis.call("HEXISTS", prefix .. "timed", name) == 1
  local traits = traits_of.read(prefix, name)
  if not (timed or traits.length or traits.bytes) then
    return
  end
  local state = M.new(prefix)
  local queue = M.queue(state, name)
  if not queue then
    return
  end
  measure(state, queue)
  queue.room = pushed or queue.room
  M.trim(state, queue)
  if timed then
    local _, head_ms = M.expire(state, queue)
    require("lib.due").plan(prefix, name, head_ms or state.now_ms + HANDOVER_MS)
  end
  M.finish(state)
end

--- When a message expires, and for one of TTL 0 when its handing over ends (0: there is none).
local function expiry(state, queue, expiration_ms)
  local ttl_ms = queue.traits.ttl
  if expiration_ms and (not ttl_ms or expiration_ms < ttl_ms) then
    ttl_ms = expiration_ms
  end
  if ttl_ms == 0 then
    measure(state, queue)
    return state.now_ms, queue.ready < queue.room and state.now_ms + HANDOVER_MS or 0
  end
  return ttl_ms and state.now_ms + ttl_ms
end

local function append(state, queue, envelope, body, expires_ms, handover_ms, priority)
  local command, bytes = { "XADD", queue.key, "*", "m", envelope, "b", body }, M.size_of(body)
  if type(body) == "table" then
    command[7], command[8], command[9] = "", "s", require("lib.bodies").refer(state.prefix, queue.name, body)
  end
  if expires_ms then
    command[#command + 1], command[#command + 2] = "x", clock.text(expires_ms)
  end
  if handover_ms then
    command[#command + 1], command[#command + 2] = "h", clock.text(handover_ms)
    expires_ms = handover_ms
  end
  if priority > 0 then
    command[#command + 1], command[#command + 2] = "p", priority
  end
  local id = redis.call(unpack(command))
  if queue.traits.trace then
    require("lib.trace").arrived(state, queue, envelope)
  end
  ready.gain(state.prefix, queue.name, queue.traits, id, bytes, priority)
  if queue.ready then
    queue.ready = queue.ready + 1
    queue.bytes = queue.bytes and queue.bytes + bytes
  end
  if expires_ms and (not queue.expires_ms or expires_ms < queue.expires_ms) then
    queue.expires_ms = expires_ms
  end
  state.touched[queue.name] = queue
end

--- Whether a queue is full and refuses a body of so many bytes.
function M.refuses(state, queue, bytes)
  return not M.takes(state, queue, bytes, NOTHING)
end

--- Puts a message into a queue; false where the queue is full and refuses it. `options`: x expiration in ms, p priority.
function M.put(state, queue, envelope, body, options)
  if state.tracing == nil then
    state.tracing = redis.call("HGET", state.prefix .. "vhost", "trace")
  end
  if state.tracing or queue.traits.trace then
    envelope = require("lib.trace").enters(state, queue, envelope)
  end
  local traits = queue.traits
  if traits.kind == "stream" then
    local text = M.text_of(state, body)
    return not text or require("lib.log").append(state, queue, envelope, text) -- a body that was evicted is lost already
  end
  local expires_ms, handover_ms = expiry(state, queue, options.x)
  local bytes = M.size_of(body)
  if M.refuses(state, queue, bytes) then
    if traits.overflow == "reject-publish-dlx" then
      letter(state, queue, envelope, body, "maxlen")
    elseif traits.trace then
      require("lib.trace").refused(state, queue, envelope)
    end
    return false
  end
  local is_dead = handover_ms == 0
  if is_dead and queue.ready == 0 and traits.length ~= 0 and bytes <= (traits.bytes or bytes) then
    letter(state, queue, envelope, body, "expired")
    return true
  end
  -- A dead one goes behind what is there: like any other that has expired, it leaves when it comes to the head.
  handover_ms = not is_dead and handover_ms
  append(state, queue, envelope, body, expires_ms, handover_ms, traits.priority and math.min(options.p or 0, traits.priority) or 0)
  M.trim(state, queue)
  if is_dead then
    M.expire(state, queue)
  end
  return true
end

--- Sends what died in this call, and lets consumers and the reaper know. Call it after a write, and once.
function M.finish(state)
  local at = 1
  while state.letters[at] do
    require("lib.letters").send(state, state.letters[at])
    at = at + 1
  end
  for name, queue in pairs(state.touched) do
    if redis.call("HEXISTS", state.prefix .. "managed", name) == 1 then
      require("lib.returns").post(state.prefix, name)
    end
    if queue.expires_ms then
      redis.call("HSET", state.prefix .. "timed", name, 1)
      require("lib.due").plan(state.prefix, name, queue.expires_ms)
    end
  end
end

return M
