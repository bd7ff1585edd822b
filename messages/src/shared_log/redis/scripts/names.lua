#!lua flags=no-writes
-- The names that are on the list of work of a partition.
-- KEYS: marker, work
-- ARGV: incarnation
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'lost'} end
local names = {'names'}
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+')) do
  names[#names + 1] = entry[2][2]
end
return names
