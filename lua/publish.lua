--- Publish groups of messages: a group is all or nothing, groups do not affect each other, a repeated call is answered from memory.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] lane       of the producer: one call at a time
-- ARGV[3] number     of the call on its lane, growing
-- ARGV[4] token      random, the same on a retry
-- ARGV[5..]          per group: count of runs; per run: exchange, routing key, canonical headers table, count (negative: mandatory), then
--                    envelope and body of each message
-- Returns one text a group, joined by ";": "=n" every message reached n queues; "+n,n…" each; "!i,i…" unroutable mandatory ones,
--         nothing of the group was written; "-" netstring: refused. PRODUCER_CLASH when the lane was used by somebody else.
local vhost_key, vhost_id, lane, number, token = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
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

local router = require("lib.router")
local calls = router.new(prefix)
local call, route, message_args = redis.call, router.route, ARGV -- locals: these are used for every message
local streams, targets, looked = {}, {}, {}

--- Looks at every queue before the first write: a missing stream or a slot on the move must not leave half a fan-out.
local function look(queues)
  for i = 1, #queues do
    local name = queues[i]
    if not streams[name] then
      local key = prefix .. "stream:" .. name
      if call("TYPE", key)["ok"] ~= "stream" then
        return require("lib.queues").broken(prefix, name)
      end
      streams[name] = key
      targets[#targets + 1] = name
    end
  end
  looked[queues] = true -- sound: a broken one is refused to the next group too
end

local function refusal(exchange)
  local refuse = require("lib.refuse")
  local known = exchange ~= "" and router.exchange(calls, exchange)
  if calls.corrupt == exchange then
    return refuse.text("TOPOLOGY_LOST", "exchange", exchange, "its stored record is corrupt; delete it and declare it anew")
  elseif not known and exchange ~= "" then
    return refuse.text("NOT_FOUND", "exchange", exchange, "no such exchange; declare it first")
  elseif known and known.internal then
    return refuse.text("ACCESS_REFUSED", "exchange", exchange, "it is internal: only other exchanges may send to it")
  end
end

--- Reads one group from ARGV[at]: the queues, first body and count of each run, three a run; or its refusal; where it ends.
local function plan(at)
  local runs, unroutable, refused, index = {}, {}, nil, 0
  local run_count = tonumber(message_args[at])
  at = at + 1
  for i = 1, 3 * run_count, 3 do
    local exchange, count = message_args[at], tonumber(message_args[at + 3])
    local mandatory = count < 0
    count = mandatory and -count or count
    local queues = not refused and route(calls, exchange, message_args[at + 1], message_args[at + 2])
    if not refused and (not queues or exchange ~= "" and calls.exchanges[exchange].internal) then
      refused = refusal(exchange)
    elseif queues and not looked[queues] then
      refused = look(queues)
    end
    if mandatory and not refused and #queues == 0 then
      for offset = 0, count - 1 do
        unroutable[#unroutable + 1] = index + offset
      end
    end
    runs[i], runs[i + 1], runs[i + 2] = queues, at + 4, count
    index = index + count
    at = at + 4 + 2 * count
  end
  if refused then
    return nil, "-" .. #refused .. ":" .. refused, at
  elseif #unroutable > 0 then
    return nil, "!" .. table.concat(unroutable, ","), at
  end
  return runs, "", at
end

local groups, answers, at, size = {}, {}, 5, #message_args
while at <= size do
  local group = #answers + 1
  groups[group], answers[group], at = plan(at)
end

local entry

local function append(queues, first, count)
  for message = first, first + 2 * count - 2, 2 do
    for q = 1, #queues do
      entry = call("XADD", streams[queues[q]], "*", "m", message_args[message], "b", message_args[message + 1])
    end
  end
end

local function counts_of(runs)
  local uniform, counts = #runs[1], {}
  for i = 1, #runs, 3 do
    if #runs[i] ~= uniform then
      uniform = nil
    end
  end
  if uniform then
    return "=" .. uniform
  end
  for i = 1, #runs, 3 do
    for _ = 1, runs[i + 2] do
      counts[#counts + 1] = #runs[i]
    end
  end
  return "+" .. table.concat(counts, ",")
end

for group = 1, #answers do
  local runs = groups[group]
  if runs then
    for i = 1, #runs, 3 do
      append(runs[i], runs[i + 1], runs[i + 2])
    end
    answers[group] = counts_of(runs)
  end
end

for first = 1, #targets, 1000 do
  local managed = redis.call("HMGET", prefix .. "managed", unpack(targets, first, math.min(first + 999, #targets)))
  for i = 1, #managed do
    if managed[i] then
      require("lib.returns").post(prefix, targets[first + i - 1])
    end
  end
end
if #calls.fills > 0 and entry then
  require("lib.cache").fill(prefix, calls.fills)
end
local answer = table.concat(answers, ";")
local now_ms = entry and string.match(entry, "^%d+") or string.format("%.0f", require("lib.clock").now_ms())
redis.call("HSET", lanes_key, lane, number .. " " .. token .. " " .. now_ms .. " " .. answer)
return answer
