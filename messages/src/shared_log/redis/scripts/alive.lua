#!lua flags=allow-oom
-- A node says that it lives, or that it ends. The clock is that of this server for all of them.
-- KEYS: marker, nodes
-- ARGV: incarnation, start, milliseconds that this holds (0: it ends), info
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'lost'} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HDEL', KEYS[2], ARGV[2])
local all = redis.call('HGETALL', KEYS[2])
for i = 1, #all, 2 do
  if tonumber(string.match(all[i + 1], '^%d+')) <= now then redis.call('HDEL', KEYS[2], all[i]) end
end
if ARGV[3] ~= '0' then
  redis.call('HSET', KEYS[2], ARGV[2], string.format('%d %s', now + ARGV[3], ARGV[4]))
end
return {'heard'}
