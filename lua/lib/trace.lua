--- What happens to traced messages, as events in the stream `trace`: `i` the message's trace id, `k` what happened, and what
-- there is of: q queue, x exchange, r routing key, b the bindings (source, kind and name of the destination, key, how), c and h
-- consumer tag and client, w why, n delivery count, m message id, z bytes of the body.
-- The trace id stands in the envelope's own table (`t`). Nothing here runs while no trace is on and no queue is marked for one.
local clock = require("lib.clock")
local pack = require("lib.pack")
local traces = require("lib.traces")
local typed = require("lib.typed")
local M = {}

--- A message that goes to more queues than this is followed into the first ones only, and into those that are marked already.
local QUEUES = 100
--- Of the messages of one publish so many are traced, about 10 ms; a batch of more must not hold up everybody.
local MESSAGES = 250
--- Of the way to a queue so many bindings are noted.
local BINDINGS = 20

local KINDS = { rejected = "rejected", expired = "expired", maxlen = "dropped", delivery_limit = "dropped" }

-- What one script call has looked up.
local ids, followed, clients, routes, ways, sets = {}, {}, {}, {}, {}, {}
local begun = 0
local parsed = {} -- the last envelope, and what is in it
local NONE = {}

local function known_to(state)
  if state.traces == nil then
    state.traces = traces.now(state.prefix)
  end
  return state.traces
end

local function id_of(text)
  local id = ids[text]
  if id == nil then
    local own = typed.rows(text)[5]
    id = own and typed.get(typed.rows(own), "t") or false
    id = id and string.sub(id, 2)
    ids[text] = id
  end
  return id
end

--- An envelope as far as it is needed here: its tables stay packed.
local function read(text)
  if parsed.text ~= text then
    local parts = typed.rows(text)
    parsed = { text = text, exchange = parts[1], key = parts[2], properties = parts[3], headers = parts[4], own = parts[5] }
  end
  return parsed
end

--- Notes an event; `fields` are the letters above and their values in turn, empty ones are left out.
local function emit(prefix, known, id, kind, fields)
  local command = { "XADD", prefix .. "trace", "MAXLEN", "~", known.keep, "*", "i", id, "k", kind }
  for i = 1, #fields, 2 do
    if fields[i + 1] ~= "" then
      command[#command + 1], command[#command + 2] = fields[i], fields[i + 1]
    end
  end
  redis.call(unpack(command))
end

local function keys_of(message)
  if message.headers == "" and not message.own then
    return NONE
  end
  return require("lib.envelope").more_keys({ headers = typed.rows(message.headers), own = typed.rows(message.own or "") })
end

--- Whether the words of a pattern (`*` one word, `#` any number) make up those of a key.
local function matches(pattern, key)
  local words, count = require("lib.topic").split(key)
  local reached = { [0] = true }
  for _, part in ipairs(pattern) do
    local after, open = {}, false
    for at = 0, count do
      if part == "#" then
        open = open or reached[at]
        after[at] = open
      else
        after[at] = at > 0 and reached[at - 1] and (part == "*" or part == words[at])
      end
    end
    reached = after
  end
  return reached[count]
end

local function fits_key(trace, message)
  if not trace.key or matches(trace.pattern[1], message.key) then
    return true
  end
  for _, key in ipairs(keys_of(message)) do
    if matches(trace.pattern[1], key) then
      return true
    end
  end
  return false
end

--- Whether a trace is on for a message that comes into these queues (`set`); for one that is published now also without a queue.
local function is_wanted(known, message, set, published)
  for _, trace in ipairs(known.list) do
    local here = trace.queue and set[trace.queue] or not trace.queue and published
    if here and (not trace.exchange or trace.exchange == message.exchange) and fits_key(trace, message) then
      return true
    end
  end
  return false
end

--- Draws a trace id, and writes it into the envelope.
local function begin(prefix, message)
  local id = clock.text(redis.call("HINCRBY", prefix .. "vhost", "next", 1))
  local before = message.own and #pack.net(message.own) or 0
  local own = (message.own or "") .. pack.net("t") .. pack.net("s" .. id)
  local text = string.sub(message.text, 1, #message.text - before) .. pack.net(own)
  ids[text] = id
  return id, text
end

local function set_of(queues)
  if not sets[queues] then
    local set = {}
    for _, name in ipairs(queues) do
      set[name] = true
    end
    sets[queues] = set
  end
  return sets[queues]
end

--- A message is published: its envelope, with a trace id in it where one is on for it.
function M.published(state, text, bytes, queues, effects)
  local known = known_to(state)
  local message = known and read(text)
  if not message or begun == MESSAGES or not is_wanted(known, message, set_of(queues), true) then
    return text
  end
  local prefix = state.prefix
  begun = begun + 1
  local id, marked = begin(prefix, message)
  local message_id = string.sub(typed.get(typed.rows(message.properties), "message_id") or "", 2)
  local where = { "x", message.exchange, "r", message.key, "m", message_id, "z", bytes }
  emit(prefix, known, id, "published", where)
  for _, effect in ipairs(effects or {}) do
    if effect.later then
      emit(prefix, known, id, "delayed", { "x", effect.later, "w", clock.text(effect.delay_ms) .. " ms" })
    end
  end
  if #queues == 0 and not effects then
    emit(prefix, known, id, "unroutable", { "x", message.exchange, "r", message.key })
  end
  return marked
end

--- A message comes to a queue, on any way: its envelope, as above. From here on the queue is looked at.
function M.enters(state, queue, text)
  local known = known_to(state)
  local id = known and id_of(text)
  if known and not id then
    local message = read(text)
    if begun < MESSAGES and is_wanted(known, message, { [queue.name] = true }, false) then
      id, text = begin(state.prefix, message)
    end
  end
  if id and not queue.traits.trace then
    followed[id] = (followed[id] or 0) + 1
    if followed[id] <= QUEUES then
      traces.mark(state.prefix, queue.name)
      queue.traits = require("lib.traits").read(state.prefix, queue.name)
    end
  end
  return text
end

--- The bindings on the way to a queue, packed. The steps are in the order of the routing, so going back once finds them.
local function way(prefix, text, queue_name)
  local message = read(text)
  local more = keys_of(message)
  local asked = pack.net(message.exchange) .. pack.net(message.key) .. pack.net(message.headers) .. table.concat(more, ",")
  local known = ways[asked .. queue_name]
  if known then
    return known
  end
  local headers = typed.canonical(message.headers)
  local steps = routes[asked] or require("lib.explain").steps(prefix, message.exchange, message.key, headers, more, text)
  routes[asked] = not steps.varies and steps or nil
  local wanted, rows, count = { ["q" .. queue_name] = true }, {}, 0
  for i = #steps, 1, -1 do
    local step = steps[i]
    if wanted[step.kind .. step.name] and count < BINDINGS then
      wanted["x" .. step.source] = true
      count = count + 1
      rows[count] = typed.write({ step.source, step.kind, step.name, step.key, step.how })
    end
  end
  local parts = {}
  for i = 1, count do
    parts[i] = rows[count + 1 - i] -- in the order in which the message went
  end
  local packed = table.concat(parts)
  ways[asked .. queue_name] = not steps.varies and packed or nil
  return packed
end

local function note(state, text, kind, fields)
  local known = known_to(state)
  local id = known and id_of(text)
  if id then
    emit(state.prefix, known, id, kind, fields())
  end
end

--- It is in the queue.
function M.arrived(state, queue, text)
  note(state, text, "routed", function()
    return { "q", queue.name, "b", way(state.prefix, text, queue.name) }
  end)
end

--- The queue is full and refuses it.
function M.refused(state, queue, text)
  note(state, text, "refused", function()
    return { "q", queue.name, "w", "the queue is full", "b", way(state.prefix, text, queue.name) }
  end)
end

--- It died in the queue; what x-death calls the reason.
function M.died(state, queue, text, reason)
  note(state, text, KINDS[reason] or "dropped", function()
    return { "q", queue.name, "w", reason }
  end)
end

--- It goes to the dead-letter exchange, and on from there to so many queues.
function M.dead_lettered(state, letter, message, text, count)
  note(state, text, "dead_lettered", function()
    return { "q", letter.queue.name, "x", message.exchange, "r", message.key, "w", letter.reason }
  end)
  if count == 0 then
    note(state, text, "unroutable", function()
      return { "x", message.exchange, "r", message.key }
    end)
  end
end

--- Tag and client of a consumer; one that is gone has none.
local function client_of(prefix, name)
  local found = clients[name]
  if not found then
    local record = redis.call("HGET", prefix .. "consumers", name)
    local at = record and string.match(record, "^%d+;%l;%d+;%-?%d+;()")
    found = {}
    if at then
      local _, after = pack.read(record, at)
      _, after = pack.read(record, after)
      local info = typed.rows(string.sub(record, after))
      found = { string.sub(typed.get(info, "tag") or "", 2), string.sub(typed.get(info, "client") or "", 2) }
    end
    clients[name] = found
  end
  return found[1] or "", found[2] or ""
end

--- It is handed to a consumer.
function M.delivered(state, queue, consumer, entry, count)
  note(state, entry[2][2], "delivered", function()
    local tag, client = client_of(state.prefix, consumer)
    return { "q", queue.name, "c", tag, "h", client, "n", clock.text(count) }
  end)
end

--- Entries are acknowledged, given back or purged; call it before that. It begins with a write that maxmemory never refuses.
function M.entries(prefix, queue_name, entry_ids, kind, reason)
  local known = #entry_ids > 0 and traces.now(prefix)
  if not known then
    return
  end
  redis.call("HDEL", prefix .. "vhost", "")
  local stream_key = prefix .. "stream:" .. queue_name
  for _, entry_id in ipairs(entry_ids) do
    local entry = redis.call("XRANGE", stream_key, entry_id, entry_id)[1]
    local id = entry and id_of(entry[2][2])
    if id then
      local row = redis.call("XPENDING", stream_key, "g", entry_id, entry_id, 1)[1] or {}
      local tag, client = client_of(prefix, row[2] or "-")
      local count = row[4] and clock.text(row[4]) or ""
      emit(prefix, known, id, kind, { "q", queue_name, "c", tag, "h", client, "w", reason or "", "n", count })
    end
  end
end

return M
