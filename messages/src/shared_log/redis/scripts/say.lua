#!lua flags=allow-oom
-- Says something to everybody who listens.
-- KEYS: marker
-- ARGV: incarnation, channel, words
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'lost'} end
redis.call('SPUBLISH', ARGV[2], ARGV[3])
return {'said'}
