#!lua
-- Claims a cold name; the last claim counts.
-- KEYS: marker, head, claim
-- ARGV: incarnation, claim, milliseconds
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'lost'} end
local head = redis.call('HMGET', KEYS[2], 'life', 'version', 'stored', 'expires', 'news')
if head[2] then return {'hot', unpack(head)} end
redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3])
return {'cold'}
