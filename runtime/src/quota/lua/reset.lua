-- Sets a counter back to nothing; reservations made before know by the generation. Earlier days stay.
-- KEYS: the counter. ARGV: idle seconds, day.
local generation = tonumber(redis.call('HGET', KEYS[1], 'gen') or '0') + 1
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    local day = string.match(field, '^d(-?%d+):')
    if not day or day == ARGV[2] then
        redis.call('HDEL', KEYS[1], field)
    end
end
redis.call('HSET', KEYS[1], 'gen', generation)
redis.call('EXPIRE', KEYS[1], ARGV[1])
return generation
