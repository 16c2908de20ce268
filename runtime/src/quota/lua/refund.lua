-- Takes back what a message reserved, except from counters that were reset since.
-- KEYS: the daemon's open reservations. ARGV: name.
local text = redis.call('HGET', KEYS[1], ARGV[1])
if not text then
    return 0
end
local kept = cjson.decode(text)
local times = {kept[1], 'd' .. kept[2]}
for place = 3, #kept do
    local key, generation = kept[place][1], kept[place][2]
    if (redis.call('HGET', key, 'gen') or '0') == generation then
        for unit = 1, 3 do
            for _, time in ipairs(times) do
                local field = time .. ':' .. unit
                -- A counter that was forgotten in between is not made anew.
                if redis.call('HEXISTS', key, field) == 1 then
                    redis.call('HINCRBY', key, field, -kept[place][unit + 2])
                end
            end
        end
    end
end
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
