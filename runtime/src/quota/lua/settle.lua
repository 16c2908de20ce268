-- Counts a message that was taken without asking, once. KEYS: a mark of its own, then the counters.
-- ARGV: seconds to remember the mark, idle seconds; for each counter: slot, day, messages, recipients, bytes.
if not redis.call('SET', KEYS[1], 1, 'NX', 'EX', ARGV[1]) then
    return 0
end
for place = 2, #KEYS do
    local at = 3 + (place - 2) * 5
    for unit = 1, 3 do
        redis.call('HINCRBY', KEYS[place], ARGV[at] .. ':' .. unit, ARGV[at + 1 + unit])
        redis.call('HINCRBY', KEYS[place], 'd' .. ARGV[at + 1] .. ':' .. unit, ARGV[at + 1 + unit])
    end
    redis.call('EXPIRE', KEYS[place], ARGV[2])
end
return 1
