-- Counts what samplers of one server use together. One call is one step: nobody
-- else's comes in between, and the clock is the store's own.
--
-- KEYS: counts and leases of the server, then those of the session, if it counts.
-- ARGV: what to do, for how many ms counts of the server and of the session are
-- kept, then what it takes.
--
-- Counts are a hash: for each window a field per bucket ("r:1700000000"), their
-- sum, and the oldest bucket; "reserved" is what all leases may take at most.
-- Leases are a sorted set of "id|likely|most", by the time at which they end.

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local windows = {
  r = {width = 1000, keep = 61},
  t = {width = 1000, keep = 61},
  d = {width = 300000, keep = 289},
}

-- Numbers in Lua are floating point: written out in full, they stay exact.
local function text(n) return string.format('%.0f', n) end

local function number(key, field) return tonumber(redis.call('HGET', key, field) or '0') end

local function fields(name, from, to)
  local list = {}
  for b = from, to do list[#list + 1] = name .. ':' .. text(b) end
  return list
end

-- used forgets the buckets that are old enough and returns what counts. The
-- newest of a bucket's moments has to be that long ago.
local function used(key, name)
  local w = windows[name]
  local from = redis.call('HGET', key, name .. 'from')
  if not from then return 0 end
  from = tonumber(from)
  local sum = number(key, name .. 'sum')
  local oldest = math.floor(now / w.width) - w.keep + 1
  if from >= oldest then return sum end
  local gone = fields(name, from, math.min(oldest, from + w.keep) - 1)
  for _, n in ipairs(redis.call('HMGET', key, unpack(gone))) do
    if n then sum = sum - tonumber(n) end
  end
  redis.call('HDEL', key, unpack(gone))
  redis.call('HSET', key, name .. 'from', text(oldest), name .. 'sum', text(sum))
  return sum
end

local function add(key, name, n)
  if n == 0 then return end
  used(key, name)
  -- A clock that was set back must not count before the oldest bucket.
  local bucket = math.floor(now / windows[name].width)
  local from = redis.call('HGET', key, name .. 'from')
  if not from then
    redis.call('HSET', key, name .. 'from', text(bucket))
  elseif bucket < tonumber(from) then
    bucket = tonumber(from)
  end
  redis.call('HINCRBY', key, name .. ':' .. text(bucket), text(n))
  redis.call('HINCRBY', key, name .. 'sum', text(n))
end

local function reserve(key, n)
  if n ~= 0 then redis.call('HINCRBY', key, 'reserved', text(n)) end
end

local function spend(key, tokens)
  add(key, 't', tokens)
  add(key, 'd', tokens)
end

-- room is how many ms it takes until no more than most counts; -1 for never.
local function room(key, name, most)
  local left = used(key, name)
  if left <= most then return 0 end
  local w = windows[name]
  local from = number(key, name .. 'from')
  local counts = redis.call('HMGET', key, unpack(fields(name, from, from + w.keep - 1)))
  for i, n in ipairs(counts) do
    if n then
      left = left - tonumber(n)
      if left <= most then return (from + i - 1 + w.keep) * w.width - now end
    end
  end
  return -1
end

local function parse(lease)
  local likely, most = string.match(lease, '|(%d+)|(%d+)$')
  return tonumber(likely), tonumber(most)
end

-- purge ends the leases of samplers that are gone. What they used nobody knows.
local function purge(counts, leases)
  for _, lease in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', text(now))) do
    local likely, most = parse(lease)
    redis.call('ZREM', leases, lease)
    reserve(counts, -most)
    spend(counts, likely)
  end
end

local function keep(counts, leases, ttl)
  redis.call('PEXPIRE', counts, ttl)
  redis.call('PEXPIRE', leases, ttl)
end

-- check returns which limit leaves no room (1 to 4), and after how many ms there
-- may be some at the earliest.
local function check(counts, leases, likely, most, limits)
  local running = redis.call('ZCARD', leases)
  local which, earliest = 0, 0
  local function refuse(limit, wait)
    if which == 0 or wait > earliest then which, earliest = limit, wait end
  end
  if limits[1] > 0 and running >= limits[1] then refuse(1, 0) end
  if limits[2] > 0 and used(counts, 'r') >= limits[2] then
    refuse(2, room(counts, 'r', limits[2] - 1))
  end
  local reserved = number(counts, 'reserved')
  for i, name in ipairs({'t', 'd'}) do
    local limit = limits[2 + i]
    if limit > 0 then
      local u = used(counts, name)
      if u + reserved + most > limit and (running > 0 or u + likely > limit) then
        refuse(2 + i, math.max(room(counts, name, limit - likely), 0))
      end
    end
  end
  return which, earliest
end

local function limitsAt(i)
  return {tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])}
end

local commands = {}

-- lease, its ms, four limits of the server, four of the session
function commands.acquire()
  local lease, ends = ARGV[4], text(now + tonumber(ARGV[5]))
  local likely, most = parse(lease)
  for k = 1, #KEYS, 2 do purge(KEYS[k], KEYS[k + 1]) end
  for k = #KEYS - 1, 1, -2 do -- the session first: it has to wait by itself
    local which, earliest = check(KEYS[k], KEYS[k + 1], likely, most, limitsAt(6 + (k - 1) * 2))
    if which > 0 then return {which, (k - 1) / 2, earliest} end
  end
  for k = 1, #KEYS, 2 do
    redis.call('ZADD', KEYS[k + 1], ends, lease)
    reserve(KEYS[k], most)
    add(KEYS[k], 'r', 1)
    keep(KEYS[k], KEYS[k + 1], ARGV[2 + (k - 1) / 2])
  end
  return {0, 0, 0}
end

-- lease, tokens that it used
function commands.settle()
  local _, most = parse(ARGV[4])
  for k = 1, #KEYS, 2 do
    if redis.call('ZREM', KEYS[k + 1], ARGV[4]) == 1 then
      reserve(KEYS[k], -most)
    end
    spend(KEYS[k], tonumber(ARGV[5]))
    keep(KEYS[k], KEYS[k + 1], ARGV[2 + (k - 1) / 2])
  end
  return {0, 0, 0}
end

-- their ms, leases; those that were lost come back
function commands.renew()
  local ends = text(now + tonumber(ARGV[4]))
  for k = 1, #KEYS, 2 do
    for i = 5, #ARGV do
      if redis.call('ZADD', KEYS[k + 1], ends, ARGV[i]) == 1 then
        local _, most = parse(ARGV[i])
        reserve(KEYS[k], most)
      end
    end
    keep(KEYS[k], KEYS[k + 1], ARGV[2 + (k - 1) / 2])
  end
  return {0, 0, 0}
end

-- requests, tokens of the minute, tokens of the day
function commands.report()
  add(KEYS[1], 'r', tonumber(ARGV[4]))
  add(KEYS[1], 't', tonumber(ARGV[5]))
  add(KEYS[1], 'd', tonumber(ARGV[6]))
  keep(KEYS[1], KEYS[2], ARGV[2])
  return {0, 0, 0}
end

return commands[ARGV[1]]()
