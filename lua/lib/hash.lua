--- A hash of texts that is the same on every server, for ever.
local M = {}

--- Below 2^26.5, so that a square is exact in a double; servers have no bit operations in common.
M.PRIME = 67108859

--- From 0 to PRIME - 1.
function M.of(text, seed)
  local value, prime = seed, M.PRIME
  for i = 1, #text do
    value = (value * 257 + string.byte(text, i)) % prime
  end
  -- Squares: what is linear would give neighbouring keys to neighbouring places.
  for _ = 1, 3 do
    value = (value * value + 12345 + seed) % prime
  end
  return value
end

return M
