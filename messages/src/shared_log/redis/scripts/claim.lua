#!lua
-- Claims a cold name, or takes part in the claim that there is.
-- KEYS: marker, head, claim
-- ARGV: incarnation, claim, milliseconds
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'lost'} end
local head = redis.call('HMGET', KEYS[2], 'life', 'version', 'stored', 'expires', 'news')
if head[2] then return {'hot', unpack(head)} end
local claim = redis.call('GET', KEYS[3]) or ARGV[2]
redis.call('SET', KEYS[3], claim, 'PX', ARGV[3])
return {'cold', claim}
