-- Counts all needs of a message or none. A counter is a hash: `<slot>:<unit>` and `d<day>:<unit>` to a number,
-- `gen` to the count of resets. KEYS: the daemon's open reservations, then a counter for each need.
-- ARGV: name, slot, oldest slot, idle seconds, day, oldest day, number of needs; for each need: messages,
-- recipients, bytes, number of bounds; for each bound: unit (1 to 3), most, first slot.
-- Answers: place of the bound that does not hold (from 1) or 0, then what each bound had before.
local name, slot, oldest, idle = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local day, oldest_day = ARGV[5], tonumber(ARGV[6])
local answer = {0}
-- The same message again: it is counted already.
if redis.call('HEXISTS', KEYS[1], name) == 1 then
    return answer
end
local at, place = 8, 0
local adds = {}
for need = 1, tonumber(ARGV[7]) do
    local key = KEYS[need + 1]
    local add = {tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])}
    local bounds = tonumber(ARGV[at + 3])
    at = at + 4
    local rows = redis.call('HGETALL', key)
    local generation, stale = '0', {}
    for row = 1, #rows, 2 do
        local s = string.match(rows[row], '^(-?%d+):')
        local d = string.match(rows[row], '^d(-?%d+):')
        if rows[row] == 'gen' then
            generation = rows[row + 1]
        elseif (s and tonumber(s) < oldest) or (d and tonumber(d) < oldest_day) then
            stale[#stale + 1] = rows[row]
        end
    end
    for _ = 1, bounds do
        local unit, most, first = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
        at = at + 3
        place = place + 1
        local used = 0
        for row = 1, #rows, 2 do
            local s, u = string.match(rows[row], '^(-?%d+):(%d)$')
            if s and u == unit and tonumber(s) >= first then
                used = used + tonumber(rows[row + 1])
            end
        end
        if used + add[tonumber(unit)] > most then
            return {place}
        end
        answer[#answer + 1] = used
    end
    adds[need] = {key, generation, add, stale}
end
local kept = {slot, day}
for _, each in ipairs(adds) do
    local key, generation, add, stale = each[1], each[2], each[3], each[4]
    for unit = 1, 3 do
        redis.call('HINCRBY', key, slot .. ':' .. unit, add[unit])
        redis.call('HINCRBY', key, 'd' .. day .. ':' .. unit, add[unit])
    end
    for _, field in ipairs(stale) do
        redis.call('HDEL', key, field)
    end
    redis.call('EXPIRE', key, idle)
    kept[#kept + 1] = {key, generation, add[1], add[2], add[3]}
end
redis.call('HSET', KEYS[1], name, cjson.encode(kept))
return answer
