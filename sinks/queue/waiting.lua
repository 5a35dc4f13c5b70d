-- Since when tasks wait: since their posts were received. `queue.lua` runs before this.

local SINCE, HELD_SINCE = KEY.since, KEY.held_since
-- SINCE       zset  tweet -> time, Unix ms   of tasks in OPEN; those that a program before 0.4 added are missing
-- HELD_SINCE  zset  tweet -> time, Unix ms   the same for HELD

function waits.put(tweet, is_held, received)
  local since = math.min(tonumber(received) or now(), now())
  redis.call('ZADD', is_held and HELD_SINCE or SINCE, string.format('%.0f', since), tweet)
end

function waits.move(tweet, is_held)
  local from, to = is_held and SINCE or HELD_SINCE, is_held and HELD_SINCE or SINCE
  local since = redis.call('ZSCORE', from, tweet)
  if since then redis.call('ZADD', to, since, tweet) end
  redis.call('ZREM', from, tweet)
end

function waits.drop(tweet)
  redis.call('ZREM', SINCE, tweet)
  redis.call('ZREM', HELD_SINCE, tweet)
end

-- Returns the time of the oldest task in OPEN, or nothing. Drops tasks that an older program has closed.
function operations.oldest()
  while true do
    local tweet, since = unpack(redis.call('ZRANGE', SINCE, 0, 0, 'WITHSCORES'))
    if not tweet or redis.call('ZSCORE', OPEN, tweet) then return since end
    redis.call('ZREM', SINCE, tweet)
  end
end
