#!lua flags=no-writes
-- Whether all work up to a piece is done, with what continues it: at the end of a piece there may be
-- news that are older than the question. Whoever takes the continuation sees them, so it is enough
-- to wait for that one, and a name that is written to all the time holds nobody up.
-- KEYS: marker, work, continued
-- ARGV: incarnation, last piece
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'lost'} end
local number = string.match(ARGV[2], '-(%d+)$')
if redis.call('XRANGE', KEYS[2], '-', ARGV[2], 'COUNT', 1)[1] then return {'no'} end
if redis.call('ZCOUNT', KEYS[3], '-inf', number) > 0 then return {'no'} end
return {'yes'}
