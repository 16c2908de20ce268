-- Sets a counter back to nothing; reservations made before know by the generation. Earlier days stay.
-- All daemons are told of it. KEYS: the counter; the resets, by their moment.
-- ARGV: idle seconds, day, name of the counter, moment, moment of the oldest reset to keep.
local generation = tonumber(redis.call('HGET', KEYS[1], 'gen') or '0') + 1
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    local day = string.match(field, '^d(-?%d+):')
    if not day or day == ARGV[2] then
        redis.call('HDEL', KEYS[1], field)
    end
end
redis.call('HSET', KEYS[1], 'gen', generation)
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[5])
return generation
