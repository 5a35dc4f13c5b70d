-- What each reviewer has decided lately, so that it can be opened again. `queue.lua` runs before this.
--
-- The history is a convenience. It is bounded in number and age, and empty after Redis is lost. It holds text, so it goes
-- with its post.

local REMEMBERED, ANSWERS, HISTORY, REMEMBERED_BY = KEY.remembered, KEY.answers, KEY.history, KEY.remembered_by
local REMEMBERED_AT, STAMPS, STAMPED = KEY.remembered_at, KEY.stamps, KEY.stamped
-- REMEMBERED  hash  tweet -> task as JSON
-- ANSWERS     hash  'tweet reviewer' -> decision as JSON, without its task
-- HISTORY:reviewer     zset  tweet -> time, Unix ms
-- REMEMBERED_BY:tweet  set   reviewers
-- REMEMBERED_AT  zset  'tweet reviewer' -> end, Unix ms   forgotten then
-- STAMPS      hash  tweet -> 'decision stamp'   of the decision that the lease's holder is about to publish
-- STAMPED:decision     string  stamp             the same, for a day, also once the lease is gone

local function forget_answer(tweet, reviewer)
  redis.call('HDEL', ANSWERS, tweet .. ' ' .. reviewer)
  redis.call('ZREM', REMEMBERED_AT, tweet .. ' ' .. reviewer)
  redis.call('ZREM', of(HISTORY, reviewer), tweet)
  redis.call('SREM', of(REMEMBERED_BY, tweet), reviewer)
  if redis.call('EXISTS', of(REMEMBERED_BY, tweet)) == 0 then redis.call('HDEL', REMEMBERED, tweet) end
end

function history.holds(tweet) return redis.call('HEXISTS', REMEMBERED, tweet) == 1 end

function history.forget(tweet)
  for _, reviewer in ipairs(redis.call('SMEMBERS', of(REMEMBERED_BY, tweet))) do forget_answer(tweet, reviewer) end
end

-- Forgets what is too old, up to `limit`. Returns how many.
local function end_history(limit)
  local ended = redis.call('ZRANGEBYSCORE', REMEMBERED_AT, '-inf', string.format('%.0f', now()), 'LIMIT', 0, limit)
  for _, entry in ipairs(ended) do forget_answer(string.match(entry, '^(%S+) (.*)$')) end
  return #ended
end

function history.end_some() end_history(10) end

function history.unstamp(tweet) redis.call('HDEL', STAMPS, tweet) end

-- Returns the stamp of a decision that the holder of this lease is about to publish. A repeated call returns the same
-- one, so that a decision that is published again is the same record. Returns nothing if the lease is lost.
function operations.stamp(tweet, token, decision, stamp)
  if not held_by(tweet, token) then return false end
  local known, at = string.match(redis.call('HGET', STAMPS, tweet) or '', '^(%S+) (%d+)$')
  if known == decision then return tonumber(at) end
  redis.call('HSET', STAMPS, tweet, decision .. ' ' .. stamp)
  redis.call('SET', of(STAMPED, decision), stamp, 'PX', 86400000)
  return tonumber(stamp)
end

-- Returns 1 if a decision on this task got a stamp, so it may be published, and the queue does not know it yet.
function operations.is_stamped(tweet) return redis.call('HEXISTS', STAMPS, tweet) end

-- Returns the stamp that a decision got, or nothing.
function operations.stamped(decision) return redis.call('GET', of(STAMPED, decision)) end

-- Remembers a reviewer's decision. Decisions on an earlier task of the post are forgotten: nobody can open them again.
function operations.remember(tweet, reviewer, task, decision, most, keep_ms)
  if erased(tweet) then return 0 end
  history.end_some()
  if redis.call('HGET', REMEMBERED, tweet) ~= task then history.forget(tweet) end
  local mine = of(HISTORY, reviewer)
  local latest = tonumber(redis.call('ZRANGE', mine, -1, -1, 'WITHSCORES')[2] or 0)
  redis.call('HSET', REMEMBERED, tweet, task)
  redis.call('HSET', ANSWERS, tweet .. ' ' .. reviewer, decision)
  redis.call('SADD', of(REMEMBERED_BY, tweet), reviewer)
  redis.call('ZADD', mine, string.format('%.0f', math.max(now(), latest + 1)), tweet)
  redis.call('ZADD', REMEMBERED_AT, string.format('%.0f', now() + tonumber(keep_ms)), tweet .. ' ' .. reviewer)
  for _, old in ipairs(redis.call('ZRANGE', mine, 0, -1 - tonumber(most))) do forget_answer(old, reviewer) end
  return 1
end

function operations.unremember(tweet, reviewer)
  forget_answer(tweet, reviewer)
  return 1
end

-- Returns a row of task and decision, or nothing.
function operations.remembered(tweet, reviewer)
  local decision = redis.call('HGET', ANSWERS, tweet .. ' ' .. reviewer)
  return decision and not hidden(tweet) and {redis.call('HGET', REMEMBERED, tweet), decision}
end

-- Returns rows of task, decision, and the answer of `decided`, the latest decision first.
function operations.history(reviewer, limit)
  while end_history(100) > 0 do end
  local rows = {}
  for _, tweet in ipairs(redis.call('ZREVRANGE', of(HISTORY, reviewer), 0, -1)) do
    local row = operations.remembered(tweet, reviewer)
    if row and #rows < tonumber(limit) then
      table.insert(row, operations.decided(tweet))
      table.insert(rows, row)
    end
  end
  return rows
end

-- Forgets some of what is too old. Returns how many.
function operations.end_history(limit) return end_history(limit) end
