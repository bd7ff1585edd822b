#!lua
-- Adds changes to a name if it is as the caller knows it. The whole script is refused when there is
-- no memory left, so nothing can stop it half way.
-- KEYS: marker, head, log, claim, work
-- ARGV: incarnation, name, channel of the name, channel of all,
--       'last' or the claim, known life, known version,
--       new life, new version, expires_ms or '', '1' if the changes go with the wake-up, changes...
-- Numbers stay text where they can: Lua has doubles, which a life does not fit.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'lost'} end
local head = redis.call('HMGET', KEYS[2], 'life', 'version', 'stored', 'expires', 'news', 'listed')
local life, version, stored, expires, news, listed = unpack(head)

if not version then
  if ARGV[5] == 'last' or redis.call('GET', KEYS[4]) ~= ARGV[5] then return {'cold'} end
  redis.call('DEL', KEYS[3], KEYS[4])
  stored, expires, news = ARGV[7], ARGV[10] == '' and '0' or ARGV[10], '0'
elseif ARGV[5] ~= 'last' or life ~= ARGV[6] or version ~= ARGV[7] then
  return {'moved', life, version, stored, expires, news}
else
  -- The end of a life is put later, never sooner; 0 is never. Another life has an end of its own.
  local new = ARGV[10]
  local later = new ~= '' and expires ~= '0' and (new == '0' or tonumber(new) > tonumber(expires))
  if new ~= '' and (ARGV[8] ~= life or later) then expires = new end
end

-- Without a change the life is still the last one's.
life = #ARGV > 11 and ARGV[8] or ARGV[6]
version = ARGV[9]
news = string.format('%d', tonumber(news) + 1)
local first = tonumber(version) - (#ARGV - 11)
for i = 12, #ARGV do
  redis.call('XADD', KEYS[3], string.format('%d-0', first + i - 11), 'c', ARGV[i])
end

-- A name is on the list of work once: 'listed' is what it is there. Only what is not on it may end.
if not listed or listed == '' then
  redis.call('PERSIST', KEYS[2])
  redis.call('PERSIST', KEYS[3])
  listed = redis.call('XADD', KEYS[5], '1-*', 'n', ARGV[2])
  redis.call('SPUBLISH', ARGV[4], ARGV[2])
end
redis.call('HSET', KEYS[2], 'life', life, 'version', version, 'stored', stored,
  'expires', expires, 'news', news, 'listed', listed)

local wake = {table.concat({life, version, stored, expires, news}, ' '), '\n'}
if ARGV[11] == '1' then
  for i = 12, #ARGV do
    wake[#wake + 1] = struct.pack('<I4', #ARGV[i])
    wake[#wake + 1] = ARGV[i]
  end
end
redis.call('SPUBLISH', ARGV[3], table.concat(wake))
return {'done', life, version, stored, expires, news}
