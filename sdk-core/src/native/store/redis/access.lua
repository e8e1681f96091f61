-- One access to a session: a read, or a compare-and-swap with a hint to all who listen.
-- KEYS[1]: where the session is. ARGV: the largest session to give out, "load", "set" or "clear", the version expected,
-- the session to write, the channel for hints.
local key, most, act, expected, session, channel = KEYS[1], tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local held = redis.call('HMGET', key, 'version', 'format')
local version = held[1] or '0'
if act == 'load' or version ~= expected then
    if redis.call('HSTRLEN', key, 'session') > most then
        return {'large'}
    end
    return {'held', version, held[2] or '', redis.call('HGET', key, 'session')}
end
-- From the clock, so that no number comes again where Redis lost its last writes in a crash.
local now = redis.call('TIME')
local clock = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local following = string.format('%.0f', math.max(tonumber(version) + 1, clock))
if act == 'set' then
    redis.call('HSET', key, 'version', following, 'format', '1', 'session', session)
else
    redis.call('HSET', key, 'version', following, 'format', '1')
    redis.call('HDEL', key, 'session')
end
-- Who may not publish writes all the same.
redis.pcall('PUBLISH', channel, following)
return {'done', following}
