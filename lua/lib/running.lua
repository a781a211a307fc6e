--- A run of messages of which some queue is more than plain, or which do more than go to queues.
local arrivals = require("lib.arrivals")
local planning = require("lib.planning")
local M = {}

local NONE = {}

--- The envelope of a message that is published now, with its trace id in it where it is traced.
local function noted(state, envelope, body, queues, effects)
  return state.tracing and require("lib.trace").published(state, envelope, arrivals.size_of(body), queues, effects) or envelope
end

--- Appends one message to its queues; the names of those that are full.
local function append(state, queues, effects, envelope, body, options)
  local full = NONE
  envelope = noted(state, envelope, body, queues, effects)
  local carried = body
  if #queues > 1 and type(body) == "string" and #body >= planning.LARGE then
    carried = require("lib.bodies").large(body)
  end
  for _, name in ipairs(queues) do
    if not arrivals.put(state, arrivals.queue(state, name), envelope, carried, options) then
      full = full == NONE and {} or full
      full[#full + 1] = name
    end
  end
  if effects then
    require("lib.effects").apply(state, effects, envelope, arrivals.text_of(state, body), options)
  end
  return full
end

--- Lets one wait for its time; its fate.
local function schedule(state, queues, envelope, body, options)
  local due_ms = options.a or state.now_ms + options.l
  envelope = noted(state, envelope, body, queues, { { later = "", delay_ms = due_ms - state.now_ms } })
  return "0@" .. require("lib.later").schedule(state, due_ms, envelope, arrivals.text_of(state, body), options.d)
end

--- One that waits for its time, or is not to come twice: what becomes of it ("!" after it: it came before), and who is full.
local function handle(state, queues, special, envelope, body)
  local options, full = special.options, NONE
  local before = special.fate or options.d and require("lib.fates").known(state.prefix, options.d, state.now_ms)
  if before then
    return before .. "!", NONE
  end
  local fate
  if options.l or options.a then
    fate = schedule(state, queues, envelope, body, options)
  else
    full = append(state, queues, special.effects, envelope, body, options)
    fate = tostring(#queues - #full)
  end
  -- What nobody took is to be published again, and must not be taken for a second one then.
  if options.d and (full == NONE or #full < #queues) then
    require("lib.fates").keep(state.prefix, options.d, options.w, fate, state.now_ms)
  end
  return full == NONE and fate or nil, full
end

--- Appends the messages of one run; `refused` collects the message's number in its group and the queue that is full, in turn.
function M.run(state, group, run, message_args, refused)
  local queues, first, count = group[run], group[run + 1], group[run + 2]
  local special = group.special and group.special[run] or NONE
  local options, number = special.options or NONE, 0
  for i = 1, run - 1, 3 do
    number = number + group[i + 2]
  end
  state.tracing = state.tracing or false -- known from here on, so that nobody asks
  for _, name in ipairs(queues) do
    state.tracing = state.tracing or arrivals.queue(state, name).traits.trace
  end
  for message = first, first + 2 * count - 2, 2 do
    local envelope, body = message_args[message], message_args[message + 1]
    local full
    local apart = type(body) == "table" and require("lib.bodies")
    if apart then
      apart.adopt(state.prefix, body)
    end
    if options.l or options.a or options.d then
      group.fates = group.fates or {}
      group.fates[number], full = handle(state, queues, special, envelope, body)
    else
      full = append(state, queues, special.effects, envelope, body, options)
    end
    if apart then
      apart.drop(state.prefix, body)
    end
    for _, name in ipairs(full) do
      refused = refused or {}
      refused[#refused + 1], refused[#refused + 2] = number, name
    end
    number = number + 1
  end
  return refused
end

return M
