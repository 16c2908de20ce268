-- Sets a counter back to nothing; reservations made before know by the generation. KEYS: the counter.
-- ARGV: idle seconds.
local generation = tonumber(redis.call('HGET', KEYS[1], 'gen') or '0') + 1
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'gen', generation)
redis.call('EXPIRE', KEYS[1], ARGV[1])
return generation
