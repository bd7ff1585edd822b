#!lua flags=no-writes
-- Whether a partition is that of the database.
-- KEYS: marker
-- ARGV: incarnation
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'lost'} end
return {'marked'}
