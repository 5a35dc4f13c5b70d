-- Tasks that a reviewer leaves to somebody else, with a note. `queue.lua` and `claims.lua` run before this.
--
-- A flag belongs to its task, and goes with it. One that is down stays, so that it can be put up again.

local FLAGS, FLAGGED = KEY.flags, KEY.flagged
-- FLAGS    hash  tweet -> 'up time flag'   up: 1, or 0 after the task was put back; Unix ms; JSON. Of open and held tasks
-- FLAGGED  zset  tweet -> score            tasks with a flag that is up, in OPEN and not in LEASES

-- Returns the flag as it is stored; '' if there is none.
function flags.of(tweet) return redis.call('HGET', FLAGS, tweet) or '' end

function flags.is_up(tweet) return string.sub(flags.of(tweet), 1, 2) == '1 ' end

operations.flagged = wait_apart(flags, FLAGGED, flags.is_up, function() return redis.call('HKEYS', FLAGS) end)

-- Moves the task to where its flag says.
local function place(tweet)
  set_unfree(tweet)
  set_free(tweet)
  names.place(tweet)
end

-- Forgets the flag. The task stays where it is, free if it was listed apart.
function flags.clear(tweet)
  if redis.call('HDEL', FLAGS, tweet) == 1 and redis.call('ZSCORE', FLAGGED, tweet) then place(tweet) end
end

-- Flags a task that we have leased, and ends the lease. Returns 0 if the lease is lost. A repeated call does nothing.
function operations.flag(tweet, token, flag)
  if flags.is_up(tweet) and string.match(flags.of(tweet), '^1 %d+ (.*)$') == flag then return 1 end
  if not (held_by(tweet, token) and lease(tweet)) then return 0 end
  redis.call('HSET', FLAGS, tweet, '1 ' .. string.format('%.0f', now()) .. ' ' .. flag)
  drop_lease(tweet)
  place(tweet)
  return 1
end

-- Puts the flag of a task up (1) or down (0). Returns 0 if it has none, or while somebody has leased it.
function operations.set_flag(tweet, up)
  end_overdue()
  local rest = string.match(flags.of(tweet), '^%d( .*)$')
  if not rest or not redis.call('ZSCORE', OPEN, tweet) or lease(tweet) then return 0 end
  redis.call('HSET', FLAGS, tweet, up .. rest)
  place(tweet)
  return 1
end
