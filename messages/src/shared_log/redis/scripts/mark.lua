#!lua
-- Makes a partition ready, if it is new or was made ready for the same database.
-- KEYS: marker, work
-- ARGV: incarnation
if not redis.call('SET', KEYS[1], ARGV[1], 'NX') and redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {'lost'}
end
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('XGROUP', 'CREATE', KEYS[2], 'flush', '0', 'MKSTREAM')
end
return {'marked'}
