#!lua flags=allow-oom
-- The database has what a piece of work was about. This frees memory, so it is allowed without any.
-- KEYS: marker, head, log, work, continued
-- ARGV: incarnation, name, id of the work, stored, first version to keep, news, milliseconds hot
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'lost'} end
local head = redis.call('HMGET', KEYS[2], 'life', 'version', 'stored', 'expires', 'news', 'listed')
local life, version, stored, expires, news, listed = unpack(head)
if not version then return {'cold'} end
if tonumber(ARGV[4]) <= tonumber(version) then
  if tonumber(ARGV[4]) > tonumber(stored) then
    stored = ARGV[4]
    redis.call('HSET', KEYS[2], 'stored', stored)
  end
  redis.call('XTRIM', KEYS[3], 'MINID', '=', ARGV[5] .. '-0')
end
-- Somebody else has done this piece if the name is not on the list as it any more. News count
-- from the beginning in every hot time, so without this an old piece could end a new one.
if listed == ARGV[3] then
  redis.call('XACK', KEYS[4], 'flush', listed)
  redis.call('XDEL', KEYS[4], listed)
  redis.call('ZREM', KEYS[5], listed)
  if news == ARGV[6] then
    redis.call('HSET', KEYS[2], 'listed', '')
    redis.call('PEXPIRE', KEYS[2], ARGV[7])
    redis.call('PEXPIRE', KEYS[3], ARGV[7])
  else
    -- More has come meanwhile. It may be older than what somebody waits for (see is_stored.lua), so
    -- it is written down which piece this one continues.
    local next = redis.call('XADD', KEYS[4], '1-*', 'n', ARGV[2])
    redis.call('ZADD', KEYS[5], string.match(listed, '-(%d+)$'), next)
    redis.call('HSET', KEYS[2], 'listed', next)
  end
end
return {'hot', life, version, stored, expires, news}
