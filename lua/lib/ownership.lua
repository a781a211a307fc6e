--- Which entries a consumer still owns; asked only where its fence fell, that is, where some were taken from it by force.
local M = {}

--- Splits ids[first..last] into the consumer's own, those of others, and those that are in no one's hands.
function M.split(stream_key, consumer, ids, first, last)
  local own, others, absent = {}, {}, {}
  for i = first, last do
    local rows = redis.call("XPENDING", stream_key, "g", ids[i], ids[i], 1)
    local row = rows[1]
    if not row then
      absent[#absent + 1] = ids[i]
    elseif row[2] == consumer then
      own[#own + 1] = ids[i]
    else
      others[#others + 1] = ids[i]
    end
  end
  return own, others, absent
end

return M
