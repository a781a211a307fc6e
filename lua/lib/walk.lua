--- Looking at a queue's entries without taking them, the oldest first; nothing is written. A `look` lives for one script call.
local envelope = require("lib.envelope")
local owners = require("lib.owners")
local ready = require("lib.ready")
local M = {}

--- So many entries are looked at in one call, and about so many bytes: whoever looks comes again for more.
local LOOKS, BYTES = 100, 1048576
--- Entries of one XRANGE, which brings whole bodies into Lua: small ones may be followed by such of 16 MiB each.
local STEP = 10
--- Rows of XPENDING for a page of entries; there are more only where somebody deleted entries by hand.
local ROWS = 1000

--- `wish`: state (all, ready, unacked or waiting), deliveries (handed out so often or more), match (a match form of headers, or empty),
-- message_id (typed, or empty).
function M.new(prefix, name, wish)
  return {
    key = prefix .. "stream:" .. name,
    traits = require("lib.traits").read(prefix, name),
    now_ms = require("lib.clock").now_ms(),
    state = wish.state,
    deliveries = wish.deliveries or 0,
    match = wish.match or "",
    message_id = wish.message_id or "",
  }
end

local function fits(look, text)
  local typed, message = require("lib.typed"), envelope.read(text)
  if look.message_id ~= "" and typed.get(message.properties, "message_id") ~= look.message_id then
    return false
  end
  return look.match == "" or require("lib.headers").fits(look.match, typed.canonical(typed.write(message.headers)))
end

--- An entry as it may be shown; nil where it has expired, or is not what is looked for.
local function judge(look, entry, row)
  local fields, owner, count = entry[2], row and row[2], row and row[4] or 0
  local state, expires = owners.state(owner), ready.expires(fields, count == 0)
  if state == "ready" and expires and tonumber(expires) <= look.now_ms then
    return nil
  elseif look.state ~= "all" and state ~= look.state or count < look.deliveries then
    return nil
  elseif look.match ~= "" or look.message_id ~= "" then
    -- What is corrupt is not what is looked for, and must not hide the others.
    local readable, fitting = pcall(fits, look, fields[2])
    if not (readable and fitting) then
      return nil
    end
  end
  return { entry = entry, state = state, owner = owner, idle_ms = row and row[3] or 0, count = count, expires = expires }
end

--- The rows of the group for the entries from `first` to `last`, by id. Of a stream queue nobody owns any.
local function held(look, first, last)
  local rows = {}
  if look.traits.kind ~= "stream" then
    for _, row in ipairs(redis.call("XPENDING", look.key, "g", first, last, ROWS)) do
      rows[row[1]] = row
    end
  end
  return rows
end

--- Up to `wanted` entries, and whether these are the last. A step takes more than the one before, and no more than what those
-- so far let expect.
local function read(look, from, to, wanted)
  local entries, bytes, step = {}, 0, 1
  while #entries < wanted and bytes < BYTES do
    local page = redis.call("XRANGE", look.key, from, to, "COUNT", step)
    for _, entry in ipairs(page) do
      entries[#entries + 1] = entry
      bytes = bytes + #entry[2][2] + ready.size(entry[2])
    end
    if #page < step then
      return entries, true
    end
    from = "(" .. page[#page][1]
    step = math.min(2 * step, STEP, wanted - #entries, math.max(1, math.floor((BYTES - bytes) * #entries / bytes)))
  end
  return entries, false
end

--- Up to `limit` entries from `from` to `to` (as XRANGE takes them), and the id after which to go on: empty at the end.
function M.page(look, from, to, limit)
  local is_choosy = look.state ~= "all" or look.deliveries > 0 or look.match ~= "" or look.message_id ~= ""
  local entries, ended = read(look, from, to, is_choosy and LOOKS or math.min(limit, LOOKS))
  local items, rows = {}, entries[1] and held(look, entries[1][1], entries[#entries][1])
  for at, entry in ipairs(entries) do
    items[#items + 1] = judge(look, entry, rows[entry[1]])
    if #items == limit and at < #entries then
      return items, entry[1]
    end
  end
  return items, ended and "" or entries[#entries][1]
end

--- The entries of ids[first..], as far as one call goes, up to `limit`, and the place of the id to go on with.
function M.pick(look, ids, first, limit)
  local items, bytes, at = {}, 0, first
  while ids[at] and #items < limit and at < first + LOOKS and bytes < BYTES do
    local entry = redis.call("XRANGE", look.key, ids[at], ids[at])[1]
    if entry then
      bytes = bytes + #entry[2][2] + ready.size(entry[2])
      items[#items + 1] = judge(look, entry, held(look, ids[at], ids[at])[ids[at]])
    end
    at = at + 1
  end
  return items, at
end

return M
