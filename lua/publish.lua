--- Publish groups of messages: a group is all or nothing, groups do not affect each other, a repeated call is answered from memory.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] lane       of the producer: one call at a time
-- ARGV[3] number     of the call on its lane, growing
-- ARGV[4] token      random, the same on a retry
-- ARGV[5..]          per group: count of runs (negative: it is refused whole where a queue is full); per run: exchange, routing key,
--                    canonical headers table (before it, where there is any, "!" and the netstring of options: lib/options.lua; before
--                    all that, where its one message's body is stored already, "@" and the netstring of its number: lib/bodies.lua),
--                    count (negative: mandatory), then envelope and body of each message
-- Returns one text a group, joined by ";": "=n" every message reached n queues; "+n,n…" each; "*…,…" their fates, where some wait
--         or came before (lib/running.lua); "!i,i…" unroutable mandatory ones, nothing of the group was written;
--         "-" netstring: refused; "~" netstring: what full queues refused (lib/counts.lua).
--         PRODUCER_CLASH when the lane was used by somebody else. BODY_GONE when a body that was stored is not there: nothing was done.
local vhost_key, vhost_id, lane, number, token = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local head = redis.call("HMGET", vhost_key, "id", "limit", "keyed")
if head[1] ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local lanes_key = prefix .. "lanes"
local last = redis.call("HGET", lanes_key, lane)
if last then
  local last_number, last_token, answer = string.match(last, "^(%d+) (%S+) %d+ (.*)$")
  if tonumber(last_number) >= tonumber(number) then
    if last_number == number and last_token == token then
      return answer
    end
    return require("lib.refuse").reply("PRODUCER_CLASH", "lane", lane, "another process publishes on it")
  end
end

local counts = require("lib.counts")
local planning = require("lib.planning")
local call, message_args = redis.call, ARGV -- locals: these are used for every message
local plan = planning.new(prefix, message_args)
local groups, answers, at, size = {}, {}, 5, #message_args
while at <= size do
  local group
  group, at = planning.group(plan, at)
  groups[#groups + 1], answers[#answers + 1] = group, ""
  if group.refused then
    answers[#answers] = "-" .. #group.refused .. ":" .. group.refused
  elseif #group.unroutable > 0 then
    answers[#answers] = "!" .. table.concat(group.unroutable, ",")
  end
end

if plan.is_missing then
  return require("lib.refuse").reply("BODY_GONE", "lane", lane, "a body that was stored before is not there; nothing was done")
end
local targets, streams, large = plan.targets, plan.streams, planning.LARGE

--- Whether any of the queues has a field that matters in a hash by queue; `found(name)` is called for each that has one.
local function marked(hash, found)
  local any = false
  for first = 1, #targets, 1000 do
    local values = call("HMGET", prefix .. hash, unpack(targets, first, math.min(first + 999, #targets)))
    for i = 1, #values do
      any = any or values[i] and string.sub(values[i], 1, 1) ~= "-"
      if values[i] and found then
        found(targets[first + i - 1])
      end
    end
  end
  return any
end

--- Whether a queue is more than plain, or all is traced; then all messages of the call take the slower way, which looks at each.
local featured = marked("traits") or head[3]
local entry, state

local function append(queues, first, count)
  local reached = #queues
  for message = first, first + 2 * count - 2, 2 do
    if reached > 1 and #message_args[message + 1] >= large then
      entry = require("lib.bodies").append(prefix, queues, message_args[message], message_args[message + 1])
    else
      for q = 1, reached do
        entry = call("XADD", streams[queues[q]], "*", "m", message_args[message], "b", message_args[message + 1])
      end
    end
  end
end

for i = 1, #answers do
  local group, refused = groups[i], nil
  if (head[2] or group.patient) and answers[i] == "" then
    state = state or require("lib.arrivals").new(prefix, plan.calls, head[3])
    answers[i] = require("lib.room").refusal(prefix, state, head[2], group, message_args) or ""
  end
  if answers[i] == "" then
    for run = 1, #group, 3 do
      local special = group.special and group.special[run]
      if featured or special and (special.effects or special.options and special.options.slow) then
        state = state or require("lib.arrivals").new(prefix, plan.calls, head[3])
        refused = require("lib.running").run(state, group, run, message_args, refused)
      else
        append(group[run], group[run + 1], group[run + 2])
      end
    end
    answers[i] = counts.of(group, refused)
  end
end

marked("managed", function(name)
  require("lib.returns").post(prefix, name)
end)
if state then
  require("lib.arrivals").finish(state)
end
if #plan.calls.fills > 0 and (entry or state) then
  require("lib.cache").fill(prefix, plan.calls.fills)
end
local answer = table.concat(answers, ";")
local now_ms = entry and string.match(entry, "^%d+") or string.format("%.0f", require("lib.clock").now_ms())
call("HSET", lanes_key, lane, number .. " " .. token .. " " .. now_ms .. " " .. answer)
return answer
