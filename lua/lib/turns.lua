--- A consumer's turn at its queues: its window is shared among them, and where it is another's turn it gets nothing.
local arrivals = require("lib.arrivals")
local hand = require("lib.hand")
local queues_of = require("lib.queues")
local returns = require("lib.returns")
local M = {}

local function may_take(state, queue, consumer, known)
  queue.choosy = known.kind ~= "g" and redis.call("HGET", state.prefix .. "choosy", queue.name)
  return not queue.choosy or require("lib.choice").may_take(state.prefix, queue.name, queue.choosy, consumer, known.priority)
end

--- Takes up to `window` entries. A first pass gives each queue its share, so that a full one does not starve the others; a
-- second takes what is left. With fewer places than queues each queue has the same chance to be the first.
function M.take(state, queues, consumer, known, window)
  local taken, left = {}, window
  local share = math.max(1, math.floor(window / #queues))
  local turn = window < #queues and redis.call("TIME")[2] % #queues or 0
  for _, queue in ipairs(queues) do
    queue.open = window > 0 and may_take(state, queue, consumer, known)
  end
  for pass = 1, 2 do
    for place = 0, #queues - 1 do
      local index = (place + turn) % #queues + 1
      local queue = queues[index]
      local wanted = math.min(left, pass == 1 and share or left)
      if wanted > 0 and queue.open then
        local function add(id, count, fields, expires)
          local size = #taken
          taken[size + 1], taken[size + 2], taken[size + 3] = index, id, count
          taken[size + 4], taken[size + 5], taken[size + 6] = fields[2], fields[4], expires or ""
          if fields[5] == "s" then
            taken[size + 6] = require("lib.bodies").hand(state, queue.name, id, fields) .. " " .. taken[size + 6]
          end
        end
        local got = hand.hand(state, arrivals.queue(state, queue.name), consumer, wanted, add)
        left, queue.open = left - got, got == wanted -- else it has no more
      end
    end
  end
  return taken
end

--- Calls others for what is left, and notes who waits.
function M.after(state, queue, consumer, known, wait_ms)
  local prefix, name = state.prefix, queue.name
  if queue.choosy and queue.choosy ~= "s" then
    if queues_of.counts(prefix, name) > 0 then
      returns.post(prefix, name)
    end
    if wait_ms > 0 then
      require("lib.choice").wait(prefix, name, consumer, known.priority, wait_ms)
    end
  elseif queue.token ~= "" then
    -- The token that woke this consumer may have been meant for more entries than its window had room for.
    local given_back = tonumber(redis.call("HGET", prefix .. "returned", name) or 0)
    local managed = redis.call("HEXISTS", prefix .. "managed", name) == 1
    if given_back > 0 or managed and queues_of.counts(prefix, name) > 0 then
      returns.post(prefix, name)
    end
  end
end

return M
