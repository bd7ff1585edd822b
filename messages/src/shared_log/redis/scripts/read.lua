#!lua flags=no-writes
-- The changes of a name from a version on, until they are as many bytes as wanted.
-- KEYS: marker, log
-- ARGV: incarnation, first version, bytes
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'lost'} end
local found, bytes, from = {'read'}, 0, ARGV[2] .. '-0'
repeat
  -- Few at once: one may be some MiB.
  local page = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', 16)
  for _, entry in ipairs(page) do
    if bytes > 0 and bytes >= tonumber(ARGV[3]) then return found end
    found[#found + 1] = entry[1]
    found[#found + 1] = entry[2][2]
    bytes = bytes + math.max(#entry[2][2], 1)
    from = '(' .. entry[1]
  end
until #page < 16
return found
