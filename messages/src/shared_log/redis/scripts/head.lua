#!lua flags=no-writes
-- The head of a name.
-- KEYS: marker, head
-- ARGV: incarnation
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'lost'} end
local head = redis.call('HMGET', KEYS[2], 'life', 'version', 'stored', 'expires', 'news')
if not head[2] then return {'cold'} end
return {'hot', unpack(head)}
