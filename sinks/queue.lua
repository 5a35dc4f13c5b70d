-- The review queue's operations, each atomic. A post has at most one task, so the post's id identifies its task.
--
-- ARGV: operation, now (Unix ms; '' means this server's clock), then the operation's own arguments.
-- A task's age is the pair (edit, model version). A task with the greater pair is newer.
-- A stamp is the time of a decision in Unix ms. The decision with the later stamp wins.

local OPEN, TASKS, AGES, LEASES, HOLDERS, SETTLED, RETRACTED, ERASED,
  FREE, PASSERS, SKIPPED, UNREADABLE, PASSED, WITHDRAWN, REPAIRED = unpack(KEYS)
-- OPEN      zset  tweet -> -uncertainty     undecided tasks, leased or not; lowest score first, ties by post id
-- TASKS     hash  tweet -> task as JSON     of the open tasks
-- AGES      hash  tweet -> 'edit version'   of the open tasks, and of withdrawals, which leave no task
-- WITHDRAWN zset  tweet -> time, Unix ms    withdrawals that are forgotten after a while; the others are never forgotten
-- LEASES    zset  tweet -> end, Unix ms     a lease past its end does not count
-- HOLDERS   hash  tweet -> 'token reviewer' stays after the lease's end, until another lease begins
-- SETTLED   hash  tweet -> 'edit stamp'     decided; stays after the task is gone, so that a replay adds no task
-- RETRACTED hash  tweet -> 'edit stamp'     decided, then taken back
-- ERASED    set   posts that must never return
-- FREE      zset  tweet -> -uncertainty     OPEN without LEASES
-- REPAIRED  string  Unix ms                 when FREE was made anew
--
-- A passer passes over some free tasks: a program those that it cannot read, a session of a program also those that its
-- reviewer skipped. A program is named by what it can read, a session 'program:session'.
-- PASSERS   zset  passer -> end, Unix ms    forgotten then, unless it claims before
-- SKIPPED:passer      set   tweets that a session skipped
-- UNREADABLE:passer   set   tweets whose tasks a program cannot read
-- PASSED:passer       zset  tweet -> -uncertainty   what the passer passes over in FREE

local function now()
  if ARGV[2] ~= '' then return tonumber(ARGV[2]) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function pair(key, tweet)
  local value = redis.call('HGET', key, tweet)
  if not value then return nil end
  local first, second = string.match(value, '^(%d+) (%d+)$')
  return {tonumber(first), tonumber(second)}
end

local function newer(a, b)
  return a[1] > b[1] or (a[1] == b[1] and a[2] > b[2])
end

local function erased(tweet)
  return redis.call('SISMEMBER', ERASED, tweet) == 1
end

local function passers() return redis.call('ZRANGE', PASSERS, 0, -1) end

local function of(key, passer) return key .. ':' .. passer end

local function program_of(passer) return string.match(passer, '^[^:]*') end

local function passes_over(passer, tweet)
  return redis.call('SISMEMBER', of(SKIPPED, passer), tweet) == 1
    or redis.call('SISMEMBER', of(UNREADABLE, program_of(passer)), tweet) == 1
end

-- Notes or forgets that each passer in question passes over a task.
local function update_passed(tweet)
  local score = redis.call('ZSCORE', FREE, tweet)
  for _, passer in ipairs(passers()) do
    if score and passes_over(passer, tweet) then
      redis.call('ZADD', of(PASSED, passer), score, tweet)
    else
      redis.call('ZREM', of(PASSED, passer), tweet)
    end
  end
end

local function set_free(tweet)
  local score = redis.call('ZSCORE', OPEN, tweet)
  if not score then return end
  redis.call('ZADD', FREE, score, tweet)
  update_passed(tweet)
end

local function set_unfree(tweet)
  if redis.call('ZREM', FREE, tweet) == 1 then update_passed(tweet) end
end

-- Finds all that a passer passes over.
local function fill_passed(passer)
  local passed = of(PASSED, passer)
  redis.call('SUNIONSTORE', passed, of(SKIPPED, passer), of(UNREADABLE, program_of(passer)))
  redis.call('ZINTERSTORE', passed, 2, FREE, passed, 'WEIGHTS', 1, 0)
end

local function keep_passer(passer, passer_ms)
  local ends = now() + tonumber(passer_ms)
  if redis.call('ZADD', PASSERS, ends, passer) == 1 then fill_passed(passer) end
end

local function forget_passer(passer)
  redis.call('ZREM', PASSERS, passer)
  redis.call('DEL', of(SKIPPED, passer), of(UNREADABLE, passer), of(PASSED, passer))
end

local function drop_lease(tweet)
  redis.call('ZREM', LEASES, tweet)
  redis.call('HDEL', HOLDERS, tweet)
end

local function forget_unreadable(tweet)
  for _, passer in ipairs(passers()) do redis.call('SREM', of(UNREADABLE, passer), tweet) end
end

local function close_task(tweet)
  forget_unreadable(tweet)
  drop_lease(tweet)
  set_unfree(tweet)
  redis.call('ZREM', OPEN, tweet)
  redis.call('HDEL', TASKS, tweet)
end

local function drop_task(tweet)
  close_task(tweet)
  redis.call('HDEL', AGES, tweet)
  redis.call('ZREM', WITHDRAWN, tweet)
end

-- Puts a task into the queue. It replaces the post's earlier task and ends that task's lease.
local function put_task(tweet, edit, version, score, task)
  if redis.call('HGET', TASKS, tweet) == task then return end
  redis.call('ZADD', OPEN, score, tweet)  -- first: a full server refuses a script's first write, never a later one
  drop_lease(tweet)
  forget_unreadable(tweet)
  set_free(tweet)
  redis.call('HSET', TASKS, tweet, task)
  redis.call('HSET', AGES, tweet, edit .. ' ' .. version)
  redis.call('ZREM', WITHDRAWN, tweet)
end

-- Records a decision under `key`, unless the recorded one is as new or newer: by edit, then by stamp.
local function decide(key, tweet, edit, stamp)
  if erased(tweet) then return false end
  local known = pair(SETTLED, tweet) or pair(RETRACTED, tweet)
  if known and not newer({tonumber(edit), tonumber(stamp)}, known) then return false end
  redis.call('HDEL', SETTLED, tweet)
  redis.call('HDEL', RETRACTED, tweet)
  redis.call('HSET', key, tweet, edit .. ' ' .. stamp)
  redis.call('ZREM', WITHDRAWN, tweet)  -- what is decided can be taken back at any time
  return true
end

-- Returns the end of the lease on the post's task, or nil.
local function lease(tweet)
  local ends = redis.call('ZSCORE', LEASES, tweet)
  return ends and tonumber(ends) > now() and tonumber(ends) or nil
end

local function held_by(tweet, token)
  local value = redis.call('HGET', HOLDERS, tweet)
  return value and string.sub(value, 1, #token + 1) == token .. ' '
end

local operations = {}

function operations.time() return string.format('%.0f', now()) end

-- Returns 1 if the queue has changed. Returns -1, and changes nothing, if `since` is so long ago that a newer withdrawal
-- may have been forgotten. `since` is a time at which no newer extraction was indexed; '' means that it is not known.
function operations.add(tweet, edit, version, score, task, since, remember_ms)
  if erased(tweet) then return 0 end
  local age = {tonumber(edit), tonumber(version)}
  local decided, present = pair(SETTLED, tweet) or pair(RETRACTED, tweet), pair(AGES, tweet)
  if decided and decided[1] >= age[1] then return 0 end
  if present and newer(present, age) then return 0 end
  if present and not newer(age, present) and redis.call('ZSCORE', OPEN, tweet) then return 0 end
  if (since or '') ~= '' and now() - tonumber(since) >= tonumber(remember_ms) then return -1 end
  put_task(tweet, edit, version, score, task)
  return 1
end

local function forget_withdrawals(before)
  for _, tweet in ipairs(redis.call('ZRANGEBYSCORE', WITHDRAWN, '-inf', before, 'LIMIT', 0, 10)) do
    redis.call('ZREM', WITHDRAWN, tweet)
    if not redis.call('ZSCORE', OPEN, tweet) then redis.call('HDEL', AGES, tweet) end
  end
end

-- An extraction of this age has no question, so an older open task is void, and one that comes later is refused. A task
-- of the same age stays, since the queue, like the index, keeps the first of two extractions of the same age. A
-- retracted task stays too.
--
-- The withdrawal is remembered for good if the post has had a task or a decision, and for `remember_ms` otherwise, since
-- most posts never have a question.
function operations.withdraw(tweet, edit, version, remember_ms)
  if erased(tweet) then return 0 end
  local present, decided = pair(AGES, tweet), pair(SETTLED, tweet) or pair(RETRACTED, tweet)
  if present and not newer({tonumber(edit), tonumber(version)}, present) then return 0 end
  if decided and decided[1] >= tonumber(edit) then return 0 end
  local open = redis.call('ZSCORE', OPEN, tweet)
  local for_good = open or decided or present and not redis.call('ZSCORE', WITHDRAWN, tweet)
  redis.call('HSET', AGES, tweet, edit .. ' ' .. version)  -- first, as in `put_task`
  if open then close_task(tweet) end
  if not for_good then redis.call('ZADD', WITHDRAWN, string.format('%.0f', now()), tweet) end
  forget_withdrawals(string.format('%.0f', now() - tonumber(remember_ms)))
  return open and 1 or 0
end

-- Ends what is past its end: leases, whose tasks are free again, and passers. Each ends once.
local function end_overdue()
  local present = string.format('%.0f', now())
  for _, tweet in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', present)) do
    redis.call('ZREM', LEASES, tweet)  -- the holder stays, and may renew the lease while nobody takes the task
    set_free(tweet)
  end
  for _, passer in ipairs(redis.call('ZRANGEBYSCORE', PASSERS, '-inf', present)) do forget_passer(passer) end
end

-- Makes FREE anew. It is wrong only after a program that knows no FREE has changed the queue.
local function repair()
  redis.call('SET', REPAIRED, string.format('%.0f', now()))
  redis.call('ZUNIONSTORE', FREE, 1, OPEN)
  for _, tweet in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
    if redis.call('ZREM', FREE, tweet) == 0 then drop_lease(tweet) end
  end
  for _, passer in ipairs(passers()) do fill_passed(passer) end
end

local function repaired_lately(every_ms)
  local repaired = redis.call('GET', REPAIRED)
  if not repaired then return false end
  local ago = now() - tonumber(repaired)
  return ago >= 0 and ago < tonumber(every_ms)  -- a clock may have been set back
end

local function session_of(program, session)
  local passer = program .. ':' .. session
  return redis.call('ZSCORE', PASSERS, passer) and passer or program
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

function operations.claim(program, session, passer_ms, reviewer, token, lease_ms, repair_ms)
  end_overdue()
  local free, leased = redis.call('ZCARD', FREE), redis.call('ZCARD', LEASES)
  if redis.call('ZCARD', OPEN) ~= free + leased then repair() end
  local passer = session_of(program, session)
  for _, name in ipairs({program, passer}) do
    redis.call('ZADD', PASSERS, 'XX', now() + tonumber(passer_ms), name)
  end
  local function take_first()
    local tweet = first_free(passer)
    return tweet and operations.take(tweet, reviewer, token, lease_ms)
  end
  local row = take_first()
  if row or free + leased == 0 or repaired_lately(repair_ms) then return row end
  repair()  -- the sizes agree, but that program may have leased one task and added another
  return take_first()
end

-- Returns up to `limit` rows of tweet and task: what `claim` may take next.
function operations.ahead(program, session, limit)
  local place, rows = passed_over(session_of(program, session)), {}
  for _, tweet in ipairs(redis.call('ZRANGE', FREE, place, place + limit - 1)) do
    table.insert(rows, {tweet, redis.call('HGET', TASKS, tweet) or ''})
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

-- Gives the task back. The session passes over it from now on.
function operations.skip(tweet, token, program, session, passer_ms)
  operations.release(tweet, token)
  if not redis.call('ZSCORE', OPEN, tweet) then return 0 end
  keep_passer(program .. ':' .. session, passer_ms)
  redis.call('SADD', of(SKIPPED, program .. ':' .. session), tweet)
  update_passed(tweet)
  return 1
end

function operations.unskip(program, session)
  forget_passer(program .. ':' .. session)
  return 1
end

function operations.take(tweet, reviewer, token, lease_ms)
  local task = redis.call('HGET', TASKS, tweet)
  if not task or lease(tweet) then return false end
  local ends = now() + tonumber(lease_ms)
  redis.call('ZADD', LEASES, ends, tweet)
  redis.call('HSET', HOLDERS, tweet, token .. ' ' .. reviewer)
  set_unfree(tweet)
  local retracted = pair(RETRACTED, tweet)
  return {tweet, task, ends, retracted and retracted[2] or 0}
end

-- Also works after the lease's end, as long as nobody else has taken the task.
function operations.renew(tweet, token, lease_ms)
  if not held_by(tweet, token) then return 0 end
  local ends = now() + tonumber(lease_ms)
  redis.call('ZADD', LEASES, ends, tweet)
  set_unfree(tweet)
  return ends
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

function operations.settle(tweet, edit, stamp)
  if not decide(SETTLED, tweet, edit, stamp) then return 0 end
  local present = pair(AGES, tweet)
  if present and present[1] <= tonumber(edit) then drop_task(tweet) end
  return 1
end

function operations.reopen(tweet, edit, stamp, version, score, task)
  if not decide(RETRACTED, tweet, edit, stamp) then return 0 end
  local present = pair(AGES, tweet)
  if not present or present[1] <= tonumber(edit) then put_task(tweet, edit, version, score, task) end
  return 1
end

function operations.erase(tweet)
  redis.call('SADD', ERASED, tweet)
  redis.call('HDEL', SETTLED, tweet)
  redis.call('HDEL', RETRACTED, tweet)
  drop_task(tweet)
  for _, passer in ipairs(passers()) do redis.call('SREM', of(SKIPPED, passer), tweet) end
  return 1
end

-- Returns rows of tweet, task, end of the lease (0: none), reviewer ('': none).
function operations.list(limit, offset)
  local rows = {}
  for _, tweet in ipairs(redis.call('ZRANGE', OPEN, offset, offset + limit - 1)) do
    local ends = lease(tweet)
    local reviewer = ends and string.match(redis.call('HGET', HOLDERS, tweet), '^%S+ (.*)$')
    table.insert(rows, {tweet, redis.call('HGET', TASKS, tweet), ends or 0, reviewer or ''})
  end
  return rows
end

-- Returns the numbers of free tasks, leased tasks and settled posts.
function operations.counts()
  local leased = redis.call('ZCOUNT', LEASES, '(' .. string.format('%.0f', now()), '+inf')
  return {redis.call('ZCARD', OPEN) - leased, leased, redis.call('HLEN', SETTLED)}
end

return operations[ARGV[1]](unpack(ARGV, 3))
