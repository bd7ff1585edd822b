#!lua flags=allow-oom
-- Takes away what is kept.
-- KEYS: marker, value
-- ARGV: incarnation
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'lost'} end
local value = redis.call('GETDEL', KEYS[2])
if not value then return {'nothing'} end
return {'taken', value}
