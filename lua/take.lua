--- Take entries for a consumer: those given back first, oldest first, then new ones, as many as asked over all its queues.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] consumer   its name
-- ARGV[3] window     entries wanted in all
-- ARGV[4] plan       1: see to it that the reaper looks at these queues in time (a registered consumer has seen to it)
-- ARGV[5] wait_ms    how long it will wait for more if it gets nothing, 0 when it will not
-- ARGV[6] bell       the id of its bell's token, or empty
-- ARGV[7] partial    1: only queues with a token are named, since all the others were empty and post one when they are not
-- ARGV[8..]          per queue: name, incarnation, wake token's id or empty, count of entries read and not shown, those ids
-- Returns for each entry: index of its queue, id, delivery count, envelope, body, when it expires (ms, or empty); where the body is
--         shared (lib/bodies.lua) that is empty, and "<number>:<size> " stands before when it expires.
--         Only -1: nothing yet, since much had expired; call again. Only -2, to a partial call: nothing was done; name all queues.
--         TOPOLOGY_LOST when the body of one is gone: nothing was taken.
--         NOT_FOUND when a queue is gone; SESSION_GONE when the consumer has to register anew.
local vhost_key, vhost_id, consumer, window, plan, wait_ms, bell, partial =
  KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local library = require("lib.queues")
local queues, at = {}, 8
while at <= #ARGV do
  local name, count, unseen, counts = ARGV[at], tonumber(ARGV[at + 3]), {}, {}
  for i = 1, count do
    unseen[i], counts[i] = ARGV[at + 3 + i], 1
  end
  local known = library.read(prefix, name)
  if not known or known.incarnation ~= ARGV[at + 1] then
    return library.missing(prefix, name)
  end
  queues[#queues + 1] = { name = name, token = ARGV[at + 2], unseen = unseen, counts = counts }
  at = at + 4 + count
end
local consumers = require("lib.consumers")
local known = consumers.brief(prefix, consumer)
if not known then
  return require("lib.refuse").reply("SESSION_GONE", "consumer", consumer, "it is not registered (its session was reaped)")
elseif known.kind == "p" and consumers.must_ask(prefix, queues[1].name) then
  return require("lib.refuse").reply("SESSION_GONE", "consumer", consumer, "its queue has to be read by script now")
end
if partial == "1" then
  if redis.call("EXISTS", prefix .. "choosy") == 1 and require("lib.choice").matters(prefix, consumers.names(known)) then
    return { -2 }
  elseif #queues == 0 and bell == "" then
    return {} -- nobody called: it asks whether its session lives
  end
end

local returns = require("lib.returns")
if bell ~= "" then
  redis.call("XACK", prefix .. "bell:" .. consumer, "m", bell)
  redis.call("XDEL", prefix .. "bell:" .. consumer, bell)
end
for _, queue in ipairs(queues) do
  if queue.token ~= "" then
    redis.call("XACK", prefix .. "wake:" .. queue.name, known.kind == "m" and "m" or "g", queue.token)
    if known.kind ~= "m" then -- else one who reads natively, and is busy now, may still have to see it
      redis.call("XDEL", prefix .. "wake:" .. queue.name, queue.token)
    end
  end
  if #queue.unseen > 0 then
    -- What was taken from it meanwhile is another's: claimed back, that one's ack would settle what is handed out here.
    local own = require("lib.ownership").split(prefix .. "stream:" .. queue.name, consumer, queue.unseen, 1, #queue.unseen)
    returns.put_back(prefix, queue.name, own, queue.counts)
  end
end

local arrivals = require("lib.arrivals")
local turns = require("lib.turns")
local state = arrivals.new(prefix)
local taken = turns.take(state, queues, consumer, known, window)
for _, queue in ipairs(queues) do
  turns.after(state, queue, consumer, known, #taken == 0 and wait_ms or 0)
  if plan == "1" and #taken > 0 then
    require("lib.due").plan(prefix, queue.name, state.now_ms + known.timeout_ms)
  end
end
if known.kind == "g" then
  library.used(prefix, queues[1].name, arrivals.queue(state, queues[1].name).traits)
end
arrivals.finish(state)
if state.lost then
  for i = 1, #taken, 6 do
    returns.put_back(prefix, queues[taken[i]].name, { taken[i + 1] }, { taken[i + 2] })
  end
  return redis.error_reply(state.lost)
end
return #taken == 0 and state.more and { -1 } or taken
