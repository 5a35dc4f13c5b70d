-- What reviewers do with free tasks: they lease, skip, renew, release and complete them. `queue.lua` runs before this.

-- Ends what is past its end: leases, whose tasks are free again, passers, and groups of copies. Each ends once.
local function end_overdue()
  local present = string.format('%.0f', now())
  for _, tweet in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', present)) do
    redis.call('ZREM', LEASES, tweet)  -- the holder stays, and may renew the lease while nobody takes the task
    set_free(tweet)
  end
  for _, passer in ipairs(redis.call('ZRANGEBYSCORE', PASSERS, '-inf', present)) do forget_passer(passer) end
  copies.end_some()
  history.end_some()
end

-- Makes FREE anew. It is wrong only after a program that knows no FREE, or no HIDDEN, has changed the queue.
local function repair()
  redis.call('SET', REPAIRED, string.format('%.0f', now()))
  redis.call('ZINTERSTORE', FREE, 2, OPEN, HIDDEN)  -- few, however many posts are hidden
  for _, tweet in ipairs(redis.call('ZRANGE', FREE, 0, -1)) do hold(tweet) end
  redis.call('ZUNIONSTORE', FREE, 1, OPEN)
  for _, tweet in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
    if redis.call('ZREM', FREE, tweet) == 0 then drop_lease(tweet) end
  end
  flags.repair()
  votes.repair()
  for _, passer in ipairs(passers()) do fill_passed(passer) end
end

-- Makes `list` a list of tasks that wait apart from FREE: those for which `is_apart` holds, in the zset `key`. `marked`
-- returns posts among which all of them are. Returns the operation that reads the list: its rows of tweet, task, ballot,
-- number of copies and flag leave out tasks that somebody has leased.
local function wait_apart(list, key, is_apart, marked)
  function list.waiting() return redis.call('ZCARD', key) end

  function list.unlist(tweet) redis.call('ZREM', key, tweet) end

  -- Lists a task if it belongs here. Returns whether it does.
  function list.wait(tweet, score)
    if not is_apart(tweet) then return false end
    redis.call('ZADD', key, score, tweet)
    return true
  end

  -- Lists the tasks in FREE, which is made anew, here instead.
  function list.repair()
    redis.call('DEL', key)
    for _, tweet in ipairs(marked()) do
      local score = redis.call('ZSCORE', FREE, tweet)
      if score and list.wait(tweet, score) then redis.call('ZREM', FREE, tweet) end
    end
  end

  return function(limit, offset)
    end_overdue()
    local rows = {}
    for _, tweet in ipairs(redis.call('ZRANGE', key, offset, offset + limit - 1)) do
      local task, ballot = redis.call('HGET', TASKS, tweet), votes.ballot(tweet)
      table.insert(rows, {tweet, task, ballot, copies.count(tweet), flags.of(tweet)})
    end
    return rows
  end
end

local function repaired_lately(every_ms)
  local repaired = redis.call('GET', REPAIRED)
  if not repaired then return false end
  local ago = now() - tonumber(repaired)
  return ago >= 0 and ago < tonumber(every_ms)  -- a clock may have been set back
end

-- Returns how many tasks at the beginning of FREE the passer passes over. PASSED has the order of FREE, so its task at
-- a place is one of them exactly if it has the same place in FREE. Halving finds the last one.
local function passed_over(passer)
  local low, high = 0, redis.call('ZCARD', of(PASSED, passer))
  while low < high do
    local middle = math.floor((low + high) / 2)
    local tweet = redis.call('ZRANGE', of(PASSED, passer), middle, middle)[1]
    if redis.call('ZRANK', FREE, tweet) == middle then low = middle + 1 else high = middle end
  end
  return low
end

local function first_free(passer)
  local place = passed_over(passer)
  return redis.call('ZRANGE', FREE, place, place)[1]
end

-- Leases the first free tasks, one for each token. Returns their rows.
function operations.claim(program, session, passer_ms, reviewer, lease_ms, repair_ms, ...)
  end_overdue()
  local free, leased = redis.call('ZCARD', FREE), redis.call('ZCARD', LEASES)
  if redis.call('ZCARD', OPEN) ~= free + leased + votes.waiting() + flags.waiting() then repair() end
  local passer = votes.passer(program, session, reviewer, passer_ms)
  for _, name in ipairs({program, passer}) do
    redis.call('ZADD', PASSERS, 'XX', now() + tonumber(passer_ms), name)
  end
  local tokens, rows = {...}, {}
  local function take_more()
    while #rows < #tokens do
      local tweet = first_free(passer)
      local row = tweet and operations.take(tweet, reviewer, tokens[#rows + 1], lease_ms)
      if not row then return end
      table.insert(rows, row)
    end
  end
  take_more()
  if #rows == #tokens or free + leased == 0 or repaired_lately(repair_ms) then return rows end
  repair()  -- the sizes agree, but that program may have leased one task and added another
  take_more()
  return rows
end

-- Returns up to `limit` rows of tweet, task and ballot: what `claim` may take next.
function operations.ahead(program, session, limit, reviewer, passer_ms)
  local place, rows = passed_over(votes.passer(program, session, reviewer, passer_ms)), {}
  for _, tweet in ipairs(redis.call('ZRANGE', FREE, place, place + limit - 1)) do
    table.insert(rows, {tweet, redis.call('HGET', TASKS, tweet) or '', votes.ballot(tweet)})
  end
  return rows
end

-- Records a task that the program cannot read. `digest` is the SHA-1 of what it read: the task may be another by now.
function operations.unreadable(tweet, program, passer_ms, digest)
  if redis.sha1hex(redis.call('HGET', TASKS, tweet) or '') ~= digest then return 0 end
  keep_passer(program, passer_ms)
  redis.call('SADD', of(UNREADABLE, program), tweet)
  update_passed(tweet)
  return 1
end

-- Gives the task back. The session passes over it from now on, since it is in `set`.
local function pass_over(set, tweet, token, passer, passer_ms)
  operations.release(tweet, token)
  if not redis.call('ZSCORE', OPEN, tweet) then return 0 end
  keep_passer(passer, passer_ms)
  redis.call('SADD', of(set, passer), tweet)
  update_passed(tweet)
  return 1
end

function operations.skip(tweet, token, program, session, passer_ms)
  return pass_over(SKIPPED, tweet, token, program .. ':' .. session, passer_ms)
end

-- Does the same with a task that the session may not see.
function operations.withhold(tweet, token, program, session, passer_ms)
  return pass_over(UNREADABLE, tweet, token, program .. ':' .. session, passer_ms)
end

-- Returns how many of the tasks that a session skipped are free.
function skipped(program, session)
  local free = 0
  for _, tweet in ipairs(redis.call('SMEMBERS', of(SKIPPED, program .. ':' .. session))) do
    if redis.call('ZSCORE', FREE, tweet) then free = free + 1 end
  end
  return free
end

function operations.unskip(program, session)
  local passer = program .. ':' .. session
  if redis.call('EXISTS', of(UNREADABLE, passer)) == 1 then
    redis.call('DEL', of(SKIPPED, passer))
    fill_passed(passer)
  else
    forget_passer(passer)
  end
  return 1
end

-- Returns a lease as a row: tweet, task, end of the lease, the stamp to beat, number of copies, ballot, flag.
local function leased_row(tweet, ends)
  local retracted = pair(RETRACTED, tweet)
  local after = math.max(retracted and retracted[2] or 0, copies.ruled_at(tweet))
  local ballot, flag = votes.ballot(tweet), flags.of(tweet)
  return {tweet, redis.call('HGET', TASKS, tweet), ends, after, copies.count(tweet), ballot, flag}
end

-- A repeated call with the same token renews the lease.
function operations.take(tweet, reviewer, token, lease_ms)
  local task = redis.call('HGET', TASKS, tweet)
  local is_seen = redis.call('ZSCORE', OPEN, tweet) and not hidden(tweet)
  if not task or not is_seen or lease(tweet) and not held_by(tweet, token) then return false end
  local ends = now() + tonumber(lease_ms)
  redis.call('ZADD', LEASES, ends, tweet)
  redis.call('HSET', HOLDERS, tweet, token .. ' ' .. reviewer)
  set_unfree(tweet)
  return leased_row(tweet, ends)
end

-- Returns this lease, or nothing if it has ended.
function operations.held(tweet, token)
  local ends = lease(tweet)
  return ends and held_by(tweet, token) and leased_row(tweet, ends)
end

-- Returns the leases of a reviewer whose tokens begin with `prefix`, each with its token as a further column.
function operations.held_by(reviewer, prefix)
  local rows = {}
  for _, tweet in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
    local ends, value = lease(tweet), redis.call('HGET', HOLDERS, tweet)
    local token, name = string.match(value or '', '^(%S+) (.*)$')
    if ends and name == reviewer and string.sub(token, 1, #prefix) == prefix then
      local row = leased_row(tweet, ends)
      table.insert(row, token)
      table.insert(rows, row)
    end
  end
  return rows
end

-- Reserves the task for a reviewer who is about to publish a retraction: whoever applies it leases the task in the same
-- step. A task that is open already is leased now. Returns the retraction's stamp; a repeated call returns the same one.
-- Returns 0 if the task is not to be had, and -1 if something else than `edit` and `seen` was decided last.
function operations.reserve(tweet, reviewer, token, lease_ms, edit, seen, stamp)
  local known = pair(SETTLED, tweet) or pair(RETRACTED, tweet) or {0, 0}
  if known[1] ~= tonumber(edit) or known[2] ~= tonumber(seen) then return -1 end
  if erased(tweet) or hidden(tweet) or copies.is_busy(tweet) then return 0 end
  local at, _, _, other = reservation(tweet)
  local is_reserved = at and at > known[2]
  if is_reserved and other ~= reviewer then return 0 end
  if lease(tweet) and not held_by(tweet, token) then
    if string.match(redis.call('HGET', HOLDERS, tweet), '^%S+ (.*)$') ~= reviewer then return 0 end
    operations.release(tweet, string.match(redis.call('HGET', HOLDERS, tweet), '^%S+'))
  end
  stamp = is_reserved and at or math.max(tonumber(stamp), known[2] + 1, copies.ruled_at(tweet) + 1)
  local value = string.format('%.0f', stamp) .. ' ' .. lease_ms .. ' ' .. token .. ' ' .. reviewer
  redis.call('SET', of(RESERVED, tweet), value, 'PX', lease_ms)
  copies.reserve_leader(tweet, reviewer, lease_ms)
  operations.take(tweet, reviewer, token, lease_ms)
  return stamp
end

-- Also works after the lease's end, as long as nobody else has taken the task.
function operations.renew(tweet, token, lease_ms)
  if not held_by(tweet, token) then return 0 end
  local ends = now() + tonumber(lease_ms)
  redis.call('ZADD', LEASES, ends, tweet)
  set_unfree(tweet)
  return ends
end

-- Renews leases, which are pairs of tweet and token. Returns a row for each, or nothing if it is lost.
function operations.renew_all(lease_ms, ...)
  local leases, rows = {...}, {}
  for place = 1, #leases, 2 do
    local tweet = leases[place]
    local ends = operations.renew(tweet, leases[place + 1], lease_ms)
    table.insert(rows, ends > 0 and redis.call('HEXISTS', TASKS, tweet) == 1 and leased_row(tweet, ends))
  end
  return rows
end

function operations.release(tweet, token)
  if not held_by(tweet, token) then return 0 end
  drop_lease(tweet)
  set_free(tweet)
  return 1
end

function operations.complete(tweet, token, edit, stamp)
  local settled = pair(SETTLED, tweet)
  if settled and settled[1] == tonumber(edit) and settled[2] == tonumber(stamp) then return 1 end
  if not (held_by(tweet, token) and lease(tweet)) then return 0 end
  return operations.settle(tweet, edit, stamp)
end
