--- Why a call was refused whose vhost id is not the one stored: the keys are gone, are others, or are newer.
local refuse = require("lib.refuse")
local M = {}

function M.refuse(vhost_key, vhost_id)
  local name = string.match(vhost_key, "^rx:{(.*)}:vhost$") or vhost_key
  local stored = redis.call("HGET", vhost_key, "id")
  if not stored then
    return refuse.reply(
      "TOPOLOGY_LOST",
      "vhost",
      name,
      "its keys are gone: FLUSHALL, eviction, or another database; open a new Broker, or use redeclare=True"
    )
  end
  local schema, wanted = string.match(stored, "^(%d+)%."), string.match(vhost_id, "^(%d+)%.")
  if not schema then
    return refuse.reply("TOPOLOGY_LOST", "vhost", name, "its stored id is corrupt")
  end
  if tonumber(schema) > tonumber(wanted) then
    return refuse.reply("NEWER_SCHEMA", "vhost", name, "it is written in schema " .. schema .. ", this rexchange knows " .. wanted)
  end
  return refuse.reply(
    "TOPOLOGY_LOST",
    "vhost",
    name,
    "it was emptied and made anew since this Broker connected; open a new Broker, or use redeclare=True"
  )
end

return M
