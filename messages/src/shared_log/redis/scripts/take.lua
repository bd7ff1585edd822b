#!lua flags=allow-oom
-- Takes work of a partition: first what was taken long ago and is not done, then what is new.
-- KEYS: marker, work
-- ARGV: incarnation, count, milliseconds after which work is given to another, or ''
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'lost'} end
local taken, left = {'taken'}, tonumber(ARGV[2])
local function give(entries)
  for _, entry in ipairs(entries) do
    taken[#taken + 1] = entry[1]
    taken[#taken + 1] = entry[2][2]
    left = left - 1
  end
end
if ARGV[3] ~= '' then
  give(redis.call('XAUTOCLAIM', KEYS[2], 'flush', 'nodes', ARGV[3], '0', 'COUNT', left)[2])
end
if left > 0 then
  local new = redis.call('XREADGROUP', 'GROUP', 'flush', 'nodes', 'COUNT', left,
    'STREAMS', KEYS[2], '>')
  -- Nothing is false here, or an empty table.
  if new and new[1] then give(new[1][2]) end
end
return taken
