-- The algorithm of bulksync.quota.station, on the clock of Redis: each call is one atomic step.
-- KEYS: the quota, the seat. ARGV: state format, operation, count or seconds, rate, holder, now ('' for TIME).
-- Operations: enter, lease, leave; hold; lower, which is a hold that also reports that we were too fast.
-- Returns the result (lease, held, taken, left, format), seconds to wait, the common rate, and a lease's mark.

local HEADROOM, SPAN, LATENESS, STORM, REPEATED = 0.98, 0.009, 0.002, 1.0, 60.0
local REMEMBERED, SILENCE, FIRM, SEAT, SEAT_KEPT = 60.0, 1.0, 0.1, 60.0, 86400

local format, what, holder, now = ARGV[1], ARGV[2], ARGV[5], tonumber(ARGV[6])
if not now then
    local time = redis.call('TIME')
    now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end

local function text(number)
    return string.format('%.17g', number)
end

-- The bucket that lets through at most `rate` turns in any second.
local function size_and_leak(rate)
    local at_once = math.max(1, math.floor(rate * SPAN))
    local size = at_once + rate * LATENESS
    return size, (rate - (size - 1)) * HEADROOM
end

local function climbed(share, ceiling, since, now)
    local elapsed = math.min(math.max(0, now - since), 600)
    ceiling = math.min(1, ceiling * 1.01 ^ elapsed)
    return math.min(ceiling, share * 2 ^ elapsed), ceiling
end

local names = {'at', 'empty_at', 'held_until', 'storm_until', 'share', 'ceiling', 'rate', 'rate_at'}
local found = redis.call('HMGET', KEYS[1], 'format', 'server', unpack(names))
if found[1] and found[1] ~= format then
    return {'format', '0', '0', '0'}
end

-- The seat: only one process sends a run. A process that has lost its seat to another never gets it back.
local is_hold = what == 'hold' or what == 'lower'
if not is_hold then
    local seat = redis.call('GET', KEYS[2])
    local by, kept = string.match(seat or '', '^(%S+) (%S+)$')
    local is_free = not by or (what == 'enter' and tonumber(kept) <= now)
    if by ~= holder and not is_free then
        return {'taken', text(math.max(0, tonumber(kept) - now)), '0', '0'}
    end
    redis.call('SET', KEYS[2], holder .. ' ' .. text(what == 'leave' and 0 or now + SEAT), 'EX', SEAT_KEPT)
    if what == 'leave' then
        return {'left', '0', '0', '0'}
    end
end

-- The current state. If there is none, or a restarted Redis read it from disk, it is unknown what was leased, and for
-- a while no turns are granted.
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local rate = tonumber(ARGV[4])
local s = {}
if found[1] and found[2] == server then
    for number, name in ipairs(names) do
        s[name] = tonumber(found[number + 2])
    end
else
    local size, leak = size_and_leak(rate)
    s = {at = now, empty_at = now + math.max(SILENCE, 1 / rate) + size / leak, held_until = now,
        storm_until = now - REPEATED, share = 1, ceiling = 1, rate = rate, rate_at = now}
end
if now < s.at then
    local back = s.at - now
    for _, name in ipairs({'empty_at', 'held_until', 'storm_until', 'rate_at'}) do
        s[name] = s[name] - back
    end
elseif s.ceiling < 1 or s.share < 1 then
    s.share, s.ceiling = climbed(s.share, s.ceiling, math.max(s.at, s.held_until), now)
end
s.at = now

local said, wait = 'lease', 0
if is_hold then
    local seconds = tonumber(ARGV[3])
    if what == 'lower' and now >= s.storm_until then
        if now - s.storm_until < REPEATED then
            s.ceiling = math.max(0.1, s.ceiling * 0.7)
            s.share = math.min(s.share, s.ceiling)
        end
        s.storm_until = now + STORM
    end
    if seconds > 0 then
        s.held_until = math.max(s.held_until, now + seconds)
        s.share = s.ceiling / 4
        s.storm_until = math.max(s.storm_until, s.held_until)
        local size, leak = size_and_leak(s.rate)
        s.empty_at = math.min(s.empty_at, now + FIRM + size / leak)
    end
else
    if rate >= s.rate or now - s.rate_at > REMEMBERED then
        s.rate, s.rate_at = rate, now
    end
    if now < s.held_until then
        said, wait = 'held', s.held_until - now
    else
        local size, leak = size_and_leak(s.rate)
        local share = climbed(s.share, s.ceiling, math.max(now, s.held_until), math.max(now, s.empty_at))
        local amount = tonumber(ARGV[3]) / share
        local fits_at = math.max(now, s.empty_at - math.max(0, size - amount) / leak)
        s.empty_at = math.max(fits_at, s.empty_at) + amount / leak
        wait = fits_at - now
    end
end

local kept = {'format', format, 'server', server}
for _, name in ipairs(names) do
    kept[#kept + 1] = name
    kept[#kept + 1] = text(s[name])
end
redis.call('HSET', KEYS[1], unpack(kept))
redis.call('PEXPIRE', KEYS[1], math.ceil((math.max(s.empty_at, s.held_until) - now + REMEMBERED) * 1000))
return {said, text(wait), text(s.rate), text(s.held_until)}
