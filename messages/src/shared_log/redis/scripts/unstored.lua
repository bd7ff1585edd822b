#!lua flags=no-writes
-- The last piece of work of a partition; nothing if there is none.
-- KEYS: marker, work
-- ARGV: incarnation
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'lost'} end
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
return {'last', last[1] and last[1][1]}
