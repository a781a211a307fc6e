--- Bringing messages from one queue to another as they are: exchange, key, properties and headers stay.
local arrivals = require("lib.arrivals")
local envelope = require("lib.envelope")
local ready = require("lib.ready")
local M = {}

--- What the destination has to know of a message: its priority, and what is left of the expiration that its publisher gave it.
-- The source's own TTL ends here, and that of the destination begins.
local function options_of(look, item, target, now_ms)
  local fields, options = item.entry[2], {}
  local expires_ms = tonumber(ready.field(fields, "x") or nil)
  if not (expires_ms or target.traits.priority) then
    return options
  end
  local readable, message = pcall(envelope.read, fields[2])
  if not readable then
    return options -- it goes over as it is
  end
  options = envelope.options(message)
  local given_ms = options.x
  if expires_ms and given_ms then
    if look.traits.ttl and look.traits.ttl < given_ms then
      expires_ms = tonumber(string.match(item.entry[1], "^%d+")) + given_ms
    end
    options.x = math.max(expires_ms - now_ms, 0)
  else
    options.x = nil
  end
  return options
end

--- Brings the entries over: how many went, and whether the destination is full and refuses more.
function M.run(prefix, verb, look, source, destination, items)
  if verb == "move" then
    -- It takes away what it adds, so it works when memory is full: a write that is never refused comes first. A copy is refused.
    redis.call("HDEL", prefix .. "vhost", "")
  end
  local state = arrivals.new(prefix)
  local origin, target = arrivals.queue(state, source), arrivals.queue(state, destination)
  local count, is_full = 0, false
  for _, item in ipairs(items) do
    local fields = item.entry[2]
    is_full = arrivals.refuses(state, target, ready.size(fields))
    if is_full then
      break
    end
    if origin.traits.trace and verb == "move" then
      require("lib.trace").entries(prefix, source, { item.entry[1] }, "moved", destination)
    end
    arrivals.put(state, target, fields[2], ready.body(fields), options_of(look, item, target, state.now_ms))
    if origin.traits.trace and verb == "copy" then -- after it, since it begins with a write that is never refused
      require("lib.trace").entries(prefix, source, { item.entry[1] }, "copied", destination)
    end
    if verb == "move" then
      arrivals.take_out(state, origin, item.entry, item.owner ~= nil)
    end
    count = count + 1
  end
  if verb == "move" and redis.call("HEXISTS", prefix .. "timed", source) == 1 then
    arrivals.expire(state, origin) -- what had expired behind those that went is at the head now
  end
  if count > 0 or verb == "move" then
    arrivals.finish(state)
  end
  return count, is_full
end

return M
