--- The verdicts in a transaction. All are looked at before anything is written: a stale one undoes the whole.
local departure = require("lib.departure")
local M = {}

--- One row for each consumer and queue, and where the arguments go on.
function M.read(args, at)
  local rows = {}
  for i = 1, tonumber(args[at]) do
    local row = { consumer = args[at + 1], queue = args[at + 2], incarnation = args[at + 3], first = at + 7 }
    row.acks, row.requeues, row.rejects = tonumber(args[at + 4]), tonumber(args[at + 5]), tonumber(args[at + 6])
    row.last = row.first + row.acks + row.requeues + row.rejects - 1
    rows[i], at = row, row.last
  end
  return rows, at + 1
end

--- The answer where a queue is another by now, or an entry not the consumer's any more; nil where all can be settled.
function M.check(prefix, args, rows)
  local queues, ownership, pack = require("lib.queues"), require("lib.ownership"), require("lib.pack")
  local stale = {}
  for i, row in ipairs(rows) do
    local queue = queues.read(prefix, row.queue)
    if not queue or queue.incarnation ~= row.incarnation then
      local why = "it was deleted since the delivery was handed out, and its messages with it; nothing was done"
      return require("lib.refuse").reply("NOT_FOUND", "queue", row.queue, why)
    end
    local broken = queues.broken(prefix, row.queue, queue)
    if broken then
      return redis.error_reply(broken)
    end
    local _, others, absent = ownership.split(prefix .. "stream:" .. row.queue, row.consumer, args, row.first, row.last)
    for _, list in ipairs({ others, absent }) do
      for _, id in ipairs(list) do
        stale[#stale + 1] = pack.net(tostring(i - 1)) .. pack.net(id)
      end
    end
  end
  return #stale > 0 and "?" .. table.concat(stale) or nil
end

local function requeue(prefix, row, args)
  local returns, ids = require("lib.returns"), {}
  for i = row.first + row.acks, row.last - row.rejects do
    ids[#ids + 1] = args[i]
  end
  if returns.give_back(prefix, row.queue, ids, "requeued") > 0 then
    returns.post(prefix, row.queue)
  end
end

--- Settles all of them.
function M.apply(prefix, args, rows)
  for _, row in ipairs(rows) do
    if row.acks > 0 and require("lib.traits").read(prefix, row.queue).trace then
      local acked = { unpack(args, row.first, row.first + row.acks - 1) }
      require("lib.trace").entries(prefix, row.queue, acked, "acked")
    end
    departure.leave(prefix, row.queue, args, row.first, row.first + row.acks - 1)
    requeue(prefix, row, args)
    if row.rejects > 0 then
      require("lib.rejects").leave(prefix, row.queue, args, row.last - row.rejects + 1, row.last)
    end
  end
end

return M
