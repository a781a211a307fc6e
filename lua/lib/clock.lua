--- The server's clock, in ms: the only one there is.
local M = {}

function M.now_ms()
  local time = redis.call("TIME")
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

--- A whole number as Redis wants it: tostring would write 1.8e+12.
function M.text(number)
  return string.format("%.0f", number)
end

return M
