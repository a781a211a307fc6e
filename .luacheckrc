-- Redis runs Lua 5.1 with two globals of its own and two tables of arguments; a leaked global breaks fakeredis.
std = "lua51"
read_globals = { "redis", "cjson", "KEYS", "ARGV" }
max_line_length = 140
