--- Run the caller's Redis commands, publish and settle as one step. What can be refused is refused before the first write.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] lane       of the producer: one call at a time
-- ARGV[3] number     of the call on its lane, growing
-- ARGV[4] token      random, the same on a retry
-- ARGV[5..]          count of commands; per command: count of its arguments, these; count of rows of verdicts (lib/verdicts.lua);
--                    per row: consumer, queue, incarnation, counts to ack, requeue and reject, the ids; then a group as publish has it,
--                    or nothing
-- Returns "=" netstring of the counts as publish answers them (empty: no messages) and the replies (lib/commands.lua); or, and then
--         nothing was published and nothing settled: "-" what publish answers for a group that it refuses; "?" netstrings of row and
--         id of each stale delivery; "!" netstrings: the command that failed (from 0), its error, the ones before it that wrote.
--         PRODUCER_CLASH when the lane was used by somebody else.
local vhost_key, vhost_id, lane, number, token = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local prefix = string.sub(vhost_key, 1, -6)
local lanes = require("lib.lanes")
local answer = lanes.answered(prefix, lane, number, token)
if answer then
  return answer
end

local commands_of, pack = require("lib.commands"), require("lib.pack")
local commands, at = commands_of.read(ARGV, 5)
local rows, job, refusal
if ARGV[at] == "0" then
  at = at + 1
else
  rows, at = require("lib.verdicts").read(ARGV, at)
end
if at <= #ARGV then
  job, refusal = require("lib.publishing").plan(prefix, ARGV, at)
  if refusal then
    return "-" .. refusal
  end
end
if rows then
  refusal = require("lib.verdicts").check(prefix, ARGV, rows)
  if refusal then
    return refusal
  end
end

local replies, failed, reason = commands_of.run(ARGV, commands)
if replies then
  local counts = job and require("lib.publishing").write(job) or ""
  if rows then
    require("lib.verdicts").apply(prefix, ARGV, rows)
  end
  answer = "=" .. pack.net(counts) .. replies
elseif string.find(reason, "READONLY", 1, true) then
  return redis.error_reply(reason) -- a replica: nothing can have been written, and the caller goes on to the master
else
  local written = commands_of.written(ARGV, commands, failed)
  answer = "!" .. pack.net(tostring(failed - 1)) .. pack.net(reason) .. pack.net(table.concat(written, ","))
end
lanes.keep(prefix, lane, number, token, require("lib.clock").now_ms(), answer)
return answer
