#!lua flags=no-writes
-- The nodes that live.
-- KEYS: marker, nodes
-- ARGV: incarnation
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'lost'} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local nodes, all = {'nodes'}, redis.call('HGETALL', KEYS[2])
for i = 1, #all, 2 do
  local until_ms, info = string.match(all[i + 1], '^(%d+) (.*)$')
  if tonumber(until_ms) > now then
    nodes[#nodes + 1] = all[i]
    nodes[#nodes + 1] = info
  end
end
return nodes
