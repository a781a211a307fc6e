--- What a publisher says of a message besides exchange, key and headers: x expiration in ms, p priority, k keys of CC and BCC;
-- l for how many ms it is to wait, or a until when (ms since 1970); d key of deduplication, w its window in ms.
local typed = require("lib.typed")
local M = {}

--- `slow`: there is more to do than to append.
function M.read(packed)
  local options = typed.values(packed)
  options.keys = options.k and typed.rows(options.k)
  options.slow = options.x or options.l or options.a or options.d
  return options
end

return M
