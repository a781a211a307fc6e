--- A page of what happened to traced messages.
-- KEYS[1] vhost_key  hash
-- ARGV[1] vhost_id   what open_vhost returned
-- ARGV[2] from       "-" for the oldest event, "+" for the newest, else what the page before returned
-- ARGV[3] limit      events to look at in this call
-- ARGV[4] field      of an event that is asked for: i trace id, m message id; empty: all events
-- ARGV[5..]          values of that field, any of them
-- Returns where the next page begins (empty: nowhere), then id and fields of each event; from "+" on the newest first.
local vhost_key, vhost_id, from, limit, field = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
if redis.call("HGET", vhost_key, "id") ~= vhost_id then
  return require("lib.vhost").refuse(vhost_key, vhost_id)
end
local trace_key = string.sub(vhost_key, 1, -6) .. "trace"
local wanted = {}
for i = 5, #ARGV do
  wanted[ARGV[i]] = true
end
local backwards, start = string.sub(from, 1, 1) == "+", from
if backwards then
  start = from == "+" and "+" or "(" .. string.sub(from, 2)
end
local page
if backwards then
  page = redis.call("XREVRANGE", trace_key, start, "-", "COUNT", limit)
else
  page = redis.call("XRANGE", trace_key, start, "+", "COUNT", limit)
end
local reply = { "" }
for _, event in ipairs(page) do
  local fields, found = event[2], field == ""
  for i = 1, #fields, 2 do
    found = found or fields[i] == field and wanted[fields[i + 1]]
  end
  if found then
    reply[#reply + 1], reply[#reply + 2] = event[1], fields
  end
end
if #page == limit then
  reply[1] = (backwards and "+" or "(") .. page[#page][1]
end
return reply
