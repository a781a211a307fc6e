--- Dead-lettering: a message that died in a queue is published to the queue's dead-letter exchange, with its history in the
-- header x-death (docs/semantics.md, Dead-lettering).
local arrivals = require("lib.arrivals")
local envelope = require("lib.envelope")
local router = require("lib.router")
local typed = require("lib.typed")
local M = {}

--- Exchanges that delay messages or remember them keep whole bodies; one that is gone (evicted) they get none of.
local function affect(state, text, body, priority)
  local whole = arrivals.text_of(state, body)
  if whole then
    require("lib.effects").apply(state, state.calls.effects, text, whole, { p = priority })
  end
end

--- The history so far; one that the publisher sent is none of ours (RabbitMQ 4: republishing starts it anew).
local function deaths_of(message)
  local deaths = {}
  if not typed.get(message.own, "d") then
    return deaths
  end
  for _, item in ipairs(typed.items(typed.get(message.headers, "x-death"))) do
    deaths[#deaths + 1] = typed.rows(string.sub(item, 2))
  end
  return deaths
end

--- Notes a death: one row for each queue and reason, the newest first; the rest of a row tells of the first time.
local function note(message, deaths, queue_name, reason, now_ms)
  local count, row = 1, nil
  for i, death in ipairs(deaths) do
    if typed.get(death, "queue") == "s" .. queue_name and typed.get(death, "reason") == "s" .. reason then
      row = table.remove(deaths, i)
      count = tonumber(string.sub(typed.get(row, "count"), 2)) + 1
      break
    end
  end
  if row then
    typed.set(row, "count", "i" .. count)
  else
    local keys = { "s" .. message.key }
    for _, key in ipairs(typed.strings(typed.get(message.headers, "CC"))) do
      keys[#keys + 1] = "s" .. key
    end
    row = { "count", "i1", "reason", "s" .. reason, "queue", "s" .. queue_name }
    typed.set(row, "time", "T" .. string.format("%.0f", math.floor(now_ms / 1000)))
    typed.set(row, "exchange", "s" .. message.exchange)
    typed.set(row, "routing-keys", "l" .. typed.write(keys))
    typed.set(row, "original-expiration", typed.get(message.properties, "expiration"))
  end
  table.insert(deaths, 1, row)
end

local function write_deaths(message, deaths, queue_name, reason)
  local items = {}
  for i, death in ipairs(deaths) do
    items[i] = "m" .. typed.write(death)
  end
  typed.set(message.headers, "x-death", "l" .. typed.write(items))
  local facts = { queue = queue_name, reason = reason, exchange = message.exchange }
  for _, name in ipairs({ "reason", "queue", "exchange" }) do
    if #deaths == 1 and typed.get(deaths[1], "count") == "i1" then
      typed.set(message.headers, "x-first-death-" .. name, "s" .. facts[name])
    end
    typed.set(message.headers, "x-last-death-" .. name, "s" .. facts[name])
  end
  typed.set(message.own, "d", "t")
  typed.set(message.properties, "expiration", nil)
end

--- Whether the message came round to a queue where it died before, with nobody's reject on the way: it would go on for ever.
local function is_cycle(deaths, queue_name)
  for _, death in ipairs(deaths) do
    if typed.get(death, "reason") == "srejected" then
      return false
    elseif typed.get(death, "queue") == "s" .. queue_name then
      return true
    end
  end
  return false
end

--- Sends one dead letter to every queue that the dead-letter exchange routes it to; where there is none it is dropped.
function M.send(state, letter)
  local traits, name = letter.queue.traits, letter.queue.name
  local message = envelope.read(letter.envelope)
  local deaths = deaths_of(message)
  note(message, deaths, name, letter.reason, state.now_ms)
  write_deaths(message, deaths, name, letter.reason)
  local more = {}
  if traits.dlk then
    message.key = traits.dlk
    typed.set(message.headers, "CC", nil)
    typed.set(message.own, "k", nil)
  else
    more = envelope.more_keys(message)
  end
  message.exchange = traits.dlx
  local text = envelope.write(message)
  local priority = envelope.priority(text)
  state.calls = state.calls or router.new(state.prefix)
  local headers = typed.canonical(typed.write(message.headers))
  state.calls.effects, state.calls.message = false, text
  local targets = router.route(state.calls, traits.dlx, message.key, headers, more) or {}
  if typed.get(message.own, "t") then
    require("lib.trace").dead_lettered(state, letter, message, text, not state.calls.effects and #targets)
  end
  for _, target in ipairs(targets) do
    local queue = (letter.reason == "rejected" or not is_cycle(deaths, target)) and arrivals.queue(state, target)
    if queue then
      arrivals.put(state, queue, text, letter.body, { p = priority })
    end
  end
  if state.calls.effects then
    affect(state, text, letter.body, priority)
  end
  if type(letter.body) == "table" then
    require("lib.bodies").drop(state.prefix, letter.body)
  end
end

return M
