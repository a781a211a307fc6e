--- What a publisher says of a message besides exchange, key and headers: x expiration in ms, p priority, k keys of CC and BCC.
local typed = require("lib.typed")
local M = {}

function M.read(packed)
  local options = typed.values(packed)
  options.keys = options.k and typed.rows(options.k)
  return options
end

return M
