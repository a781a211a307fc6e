--- What publish is going to do with its groups, worked out before the first write: queues of each run of messages, refusals.
-- A group holds three values a run: queues, place of the first message in ARGV, count of messages. `special[i]`, where the run
-- at i has any: its options, effects of exchanges that do more than route, and the fate of one that was published before.
local router = require("lib.router")
local M = {}

--- A body of so many bytes that goes to several queues is stored once (lib/bodies.lua, docs/adr/0014-large-bodies-are-stored-once.md).
M.LARGE = 16384

local NOWHERE = {}

--- `args` are the script's; targets are all queues that get a message, each once.
function M.new(prefix, args)
  return { prefix = prefix, args = args, calls = router.new(prefix), streams = {}, targets = {}, looked = {} }
end

--- Looks at every queue before the first write: a missing stream or a slot on the move must not leave half a fan-out.
local function look(plan, queues)
  local streams, targets = plan.streams, plan.targets
  for i = 1, #queues do
    local name = queues[i]
    if not streams[name] then
      local key = plan.prefix .. "stream:" .. name
      if redis.call("TYPE", key)["ok"] ~= "stream" then
        return require("lib.queues").broken(plan.prefix, name)
      end
      streams[name] = key
      targets[#targets + 1] = name
    end
  end
  plan.looked[queues] = true -- sound: a broken one is refused to the next group too
end

--- Adds a run whose queues are known, or refuses the group.
local function add(plan, group, exchange, queues, first, count, mandatory)
  if not queues or exchange ~= "" and plan.calls.exchanges[exchange].internal then
    group.refused = require("lib.refusals").of_exchange(plan.calls, exchange)
    return
  elseif not plan.looked[queues] then
    group.refused = look(plan, queues)
  end
  if mandatory and #queues == 0 and not plan.calls.effects then
    for offset = 0, count - 1 do
      group.unroutable[#group.unroutable + 1] = group.count + offset
    end
  end
  local size = #group
  group[size + 1], group[size + 2], group[size + 3] = queues, first, count
  group.count = group.count + count
end

--- Headers, and what the publisher says besides (lib/options.lua), which stands before them.
local function with_options(text)
  local options, after = require("lib.pack").read(text, 2)
  return string.sub(text, after), require("lib.options").read(options)
end

--- The same where the publisher has stored the body (lib/bodies.lua), whose number stands before all that: its place in the
-- arguments holds it from now on.
local function with_body(plan, text, at)
  local share, after = require("lib.pack").read(text, 2)
  local body = require("lib.bodies").stored(plan.prefix, share)
  plan.is_missing = plan.is_missing or not body
  plan.args[at] = body or ""
  text = string.sub(text, after)
  if string.sub(text, 1, 1) ~= "!" then
    return text, { slow = true }
  end
  local headers, options = with_options(text)
  options.slow = true
  return headers, options
end

--- A run where another message of the same key may go elsewhere: each is a run of its own.
local function each_by_itself(plan, group, at, headers, options, count, mandatory)
  local calls, args = plan.calls, plan.args
  for first = at + 4, at + 2 + 2 * count, 2 do
    calls.effects, calls.message = false, args[first]
    local queues = router.route(calls, args[at], args[at + 1], headers, options and options.keys)
    group.special = group.special or {}
    group.special[#group + 1] = { options = options, effects = calls.effects }
    add(plan, group, args[at], queues, first, 1, mandatory)
  end
  calls.varies, calls.effects, calls.message = false, false, nil
end

--- What became of a message with this key that was published before.
local function known_fate(plan, key)
  plan.now_ms = plan.now_ms or require("lib.clock").now_ms()
  return require("lib.fates").known(plan.prefix, key, plan.now_ms)
end

--- Reads the group at `at`; returns it, and where the next one begins. The loop is short of calls: it runs for every key.
function M.group(plan, at)
  local calls, args, route, looked = plan.calls, plan.args, router.route, plan.looked
  local group, size, messages = { unroutable = {}, count = 0 }, 0, 0
  local run_count = tonumber(args[at])
  if run_count < 0 then
    run_count, group.patient = -run_count, true
  end
  at = at + 1
  for _ = 1, run_count do
    local exchange, headers, count, options = args[at], args[at + 2], tonumber(args[at + 3]), false
    local mandatory = count < 0
    count = mandatory and -count or count
    local mark = headers ~= "" and string.sub(headers, 1, 1)
    if mark == "!" then
      headers, options = with_options(headers)
    elseif mark == "@" then
      headers, options = with_body(plan, headers, at + 5)
    end
    local fate = options and options.d and known_fate(plan, options.d)
    local queues = not fate and not group.refused and route(calls, exchange, args[at + 1], headers, options and options.keys)
    if fate then -- wherever it would go now: nothing is done
      size = #group
      group.special = group.special or {}
      group.special[size + 1] = { options = options, fate = fate }
      group[size + 1], group[size + 2], group[size + 3] = NOWHERE, at + 4, count
      size = size + 3
    elseif calls.varies then
      group.count = messages
      each_by_itself(plan, group, at, headers, options, count, mandatory)
      size = #group
    elseif looked[queues] and not options and not mandatory and (exchange == "" or not calls.exchanges[exchange].internal) then
      group[size + 1], group[size + 2], group[size + 3] = queues, at + 4, count
      size = size + 3
    elseif not group.refused then
      group.count = messages
      if options then
        group.special = group.special or {}
        group.special[size + 1] = { options = options, effects = false }
      end
      add(plan, group, exchange, queues, at + 4, count, mandatory)
      size = #group
    end
    messages, at = messages + count, at + 4 + 2 * count
  end
  return group, at
end

return M
