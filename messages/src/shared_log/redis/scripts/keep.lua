#!lua
-- Keeps a value for a while.
-- KEYS: marker, value
-- ARGV: incarnation, value, milliseconds
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'lost'} end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return {'kept'}
