-- The review queue's operations, each atomic. The other `.lua` files of this folder continue this one, as
-- `script.py` lists them. A post has at most one task, so the post's id identifies its task.
--
-- ARGV: operation, now (Unix ms; '' means this server's clock), then the operation's own arguments.
-- A task's age is the pair (edit, model version). A task with the greater pair is newer.
-- A stamp is the time of a decision in Unix ms. The decision with the later stamp wins.
-- A score is made by `names.score`, or is -uncertainty if a program before 0.4 added the task.

local OPEN, TASKS, AGES, LEASES, HOLDERS, SETTLED, RETRACTED, ERASED,
  FREE, PASSERS, SKIPPED, UNREADABLE, PASSED, WITHDRAWN, REPAIRED, HIDDEN, HELD = unpack(KEYS, 1, 17)
-- OPEN      zset  tweet -> score            undecided tasks, leased or not; lowest score first, ties by post id
-- HELD      zset  tweet -> score            undecided tasks that nobody sees, and that are not in OPEN: those of hidden
--                                           posts, and copies that wait behind another task
-- TASKS     hash  tweet -> task as JSON     of the open and held tasks
-- AGES      hash  tweet -> 'edit version'   of these tasks, and of withdrawals, which leave no task
-- WITHDRAWN zset  tweet -> time, Unix ms    withdrawals that are forgotten after a while; the others are never forgotten
-- LEASES    zset  tweet -> end, Unix ms     a lease past its end does not count
-- HOLDERS   hash  tweet -> 'token reviewer' stays after the lease's end, until another lease begins
-- SETTLED   hash  tweet -> 'edit stamp'     decided; stays after the task is gone, so that a replay adds no task
-- RETRACTED hash  tweet -> 'edit stamp'     decided, then taken back; or voted on, but not settled
-- ERASED    set   posts that must never return
-- HIDDEN    set   posts that nobody may see for now
-- FREE      zset  tweet -> score            OPEN without LEASES, and without disputed and flagged tasks
-- REPAIRED  string  Unix ms                 when FREE was made anew
--
-- A passer passes over some free tasks: a program those that it cannot read, a session of a program also those that its
-- reviewer skipped or voted on. A program is named by what it can read, a session 'program:session'.
-- PASSERS   zset  passer -> end, Unix ms    forgotten then, unless it claims before
-- SKIPPED:passer      set   tweets that a session skipped
-- UNREADABLE:passer   set   tweets whose tasks a program cannot read, or a session may not see
-- PASSED:passer       zset  tweet -> score   what the passer passes over in FREE

local RESERVED = KEY.reserved
-- RESERVED:tweet  string  'stamp lease_ms token reviewer'   who gets the task once the retraction with this stamp opens it

local copies, names, votes, history, flags, waits = {}, {}, {}, {}, {}, {}  -- functions of the files with these names

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

local function hidden(tweet)
  return redis.call('SISMEMBER', HIDDEN, tweet) == 1
end

-- Returns the score of the post's undecided task, whether people may see it or not.
local function undecided(tweet)
  return redis.call('ZSCORE', OPEN, tweet) or redis.call('ZSCORE', HELD, tweet)
end

local function passers() return redis.call('ZRANGE', PASSERS, 0, -1) end

local function of(key, passer) return key .. ':' .. passer end

local function program_of(passer) return string.match(passer, '^[^:]*') end

local function passes_over(passer, tweet)
  return redis.call('SISMEMBER', of(SKIPPED, passer), tweet) == 1
    or redis.call('SISMEMBER', of(UNREADABLE, program_of(passer)), tweet) == 1
    or redis.call('SISMEMBER', of(UNREADABLE, passer), tweet) == 1
    or redis.call('SISMEMBER', votes.key_of(passer), tweet) == 1
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
  if not score or flags.wait(tweet, score) or votes.wait(tweet, score) then return end
  redis.call('ZADD', FREE, score, tweet)
  update_passed(tweet)
end

local function set_unfree(tweet)
  votes.unlist(tweet)
  flags.unlist(tweet)
  if redis.call('ZREM', FREE, tweet) == 1 then update_passed(tweet) end
end

-- Finds all that a passer passes over.
local function fill_passed(passer)
  local passed = of(PASSED, passer)
  local unread, withheld = of(UNREADABLE, program_of(passer)), of(UNREADABLE, passer)
  redis.call('SUNIONSTORE', passed, of(SKIPPED, passer), unread, withheld, votes.key_of(passer))
  redis.call('ZINTERSTORE', passed, 2, FREE, passed, 'WEIGHTS', 1, 0)
end

local function keep_passer(passer, passer_ms)
  local ends = now() + tonumber(passer_ms)
  if redis.call('ZADD', PASSERS, ends, passer) == 1 then fill_passed(passer) end
end

local function forget_passer(passer)
  redis.call('ZREM', PASSERS, passer)
  redis.call('DEL', of(SKIPPED, passer), of(UNREADABLE, passer), of(PASSED, passer))
  votes.unbind(passer)
end

local function drop_lease(tweet)
  redis.call('ZREM', LEASES, tweet)
  redis.call('HDEL', HOLDERS, tweet)
  history.unstamp(tweet)
end

-- Moves the post's task, if it has one, to where nobody sees it, and ends its lease.
local function hold(tweet)
  local score = redis.call('ZSCORE', OPEN, tweet)
  if not score then return end
  redis.call('ZADD', HELD, score, tweet)
  waits.move(tweet, true)
  drop_lease(tweet)
  set_unfree(tweet)
  redis.call('ZREM', OPEN, tweet)
  names.place(tweet)
end

-- Moves the post's task back to where people see it.
local function unhold(tweet)
  local score = redis.call('ZSCORE', HELD, tweet)
  if not score then return end
  redis.call('ZADD', OPEN, score, tweet)
  waits.move(tweet, false)
  redis.call('ZREM', HELD, tweet)
  set_free(tweet)
  names.place(tweet)
end

local function forget_unreadable(tweet)
  for _, passer in ipairs(passers()) do redis.call('SREM', of(UNREADABLE, passer), tweet) end
end

local function close_task(tweet)
  votes.clear(tweet)
  flags.clear(tweet)
  waits.drop(tweet)
  forget_unreadable(tweet)
  drop_lease(tweet)
  set_unfree(tweet)
  redis.call('ZREM', OPEN, tweet)
  redis.call('ZREM', HELD, tweet)
  redis.call('HDEL', TASKS, tweet)
  names.drop(tweet)
  copies.place(tweet)
end

local function drop_task(tweet)
  close_task(tweet)
  redis.call('HDEL', AGES, tweet)
  redis.call('ZREM', WITHDRAWN, tweet)
end

-- Puts a task into the queue. It replaces the post's earlier task and ends that task's lease. `labels`: see NAMES_OF.
-- `received`: when the post was received, in Unix ms; '' means now.
local function put_task(tweet, edit, version, score, task, labels, received)
  if redis.call('HGET', TASKS, tweet) == task then return copies.opened(tweet) end
  local held = hidden(tweet) or redis.call('ZSCORE', HELD, tweet)
  redis.call('ZADD', held and HELD or OPEN, score, tweet)  -- first: a full server refuses no later write of a script
  waits.put(tweet, held, received)
  votes.clear(tweet)
  flags.clear(tweet)
  drop_lease(tweet)
  forget_unreadable(tweet)
  set_free(tweet)
  redis.call('HSET', TASKS, tweet, task)
  redis.call('HSET', AGES, tweet, edit .. ' ' .. version)
  redis.call('ZREM', WITHDRAWN, tweet)
  names.set(tweet, labels)
  copies.opened(tweet)
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
  votes.clear(tweet)
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

-- Returns stamp, length of the lease, token and reviewer, or nothing.
local function reservation(tweet)
  local value = redis.call('GET', of(RESERVED, tweet)) or ''
  local stamp, lease_ms, token, reviewer = string.match(value, '^(%d+) (%d+) (%S+) (.*)$')
  return tonumber(stamp), lease_ms, token, reviewer
end

local operations = {}

function operations.time() return string.format('%.0f', now()) end

-- Returns 1 if the queue has changed. Returns -1, and changes nothing, if `since` is so long ago that a newer withdrawal
-- may have been forgotten. `since` is a time at which no newer extraction was indexed; '' means that it is not known.
--
-- `group` names the copies of the post, for `window_ms` after the post was received; '' if there can be none.
function operations.add(tweet, edit, version, score, task, since, remember_ms, group, window_ms, received, labels)
  if erased(tweet) then return 0 end
  local age = {tonumber(edit), tonumber(version)}
  local decided, present = pair(SETTLED, tweet) or pair(RETRACTED, tweet), pair(AGES, tweet)
  if decided and decided[1] == age[1] and not (present and present[1] > age[1]) then
    copies.join(tweet, group, window_ms, received, undecided(tweet))  -- one on another copy may be later than its own
    if undecided(tweet) then copies.opened(tweet) else copies.keep(tweet, task) end
  end
  if decided and decided[1] >= age[1] then return 0 end
  if present and newer(present, age) then return 0 end
  if present and not newer(age, present) and undecided(tweet) then return 0 end
  if (since or '') ~= '' and now() - tonumber(since) >= tonumber(remember_ms) then return -1 end
  copies.join(tweet, group, window_ms, received, true)
  put_task(tweet, edit, version, names.score(tweet, score, received, labels), task, labels, received)
  return 1
end

local function forget_withdrawals(before)
  for _, tweet in ipairs(redis.call('ZRANGEBYSCORE', WITHDRAWN, '-inf', before, 'LIMIT', 0, 10)) do
    redis.call('ZREM', WITHDRAWN, tweet)
    if not undecided(tweet) then redis.call('HDEL', AGES, tweet) end
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
  local open = undecided(tweet)
  local for_good = open or decided or present and not redis.call('ZSCORE', WITHDRAWN, tweet)
  redis.call('HSET', AGES, tweet, edit .. ' ' .. version)  -- first, as in `put_task`
  if open then close_task(tweet) end
  copies.leave(tweet)
  if not for_good then redis.call('ZADD', WITHDRAWN, string.format('%.0f', now()), tweet) end
  forget_withdrawals(string.format('%.0f', now() - tonumber(remember_ms)))
  copies.end_some()
  return open and 1 or 0
end

local function forget_post(tweet)
  redis.call('HDEL', SETTLED, tweet)
  redis.call('HDEL', RETRACTED, tweet)
  copies.forget_rulings(tweet)
  copies.leave(tweet)
  history.forget(tweet)
  redis.call('DEL', of(RESERVED, tweet))
  drop_task(tweet)
  for _, passer in ipairs(passers()) do redis.call('SREM', of(SKIPPED, passer), tweet) end
end

-- Forgets all of posts but the marks that erase or hide them. They may come again. The arguments are pairs of tweet and
-- edit. A post with a newer edit stays. Returns the tweets that were forgotten.
function operations.forget(...)
  local arguments, forgotten = {...}, {}
  for place = 1, #arguments, 2 do
    local tweet, edit = arguments[place], tonumber(arguments[place + 1])
    local present, decided = pair(AGES, tweet), pair(SETTLED, tweet) or pair(RETRACTED, tweet)
    history.forget(tweet)  -- it may be of this edit
    if not (present and present[1] > edit or decided and decided[1] > edit) then
      forget_post(tweet)
      table.insert(forgotten, tweet)
    end
  end
  return forgotten
end

-- `group` and `task` make a copy known again after the queue was lost. They are absent from a reviewer's own call.
function operations.settle(tweet, edit, stamp, group, window_ms, task)
  if not decide(SETTLED, tweet, edit, stamp) then return 0 end
  local present = pair(AGES, tweet)
  if present and present[1] > tonumber(edit) then return 1 end
  if (group or '') ~= '' then
    copies.join(tweet, group, window_ms, stamp, undecided(tweet))
    copies.keep(tweet, task)
  end
  if not present then return 1 end
  if present[1] == tonumber(edit) then copies.keep(tweet, redis.call('HGET', TASKS, tweet)) else copies.leave(tweet) end
  drop_task(tweet)
  return 1
end

-- `leads` is 1 if a person took back a decision on this post, or answered a part of it, and 0 if that was on a copy.
local function reopen(tweet, edit, stamp, version, score, task, leads, group, window_ms, received, labels)
  if not decide(RETRACTED, tweet, edit, stamp) then return 0 end
  local present = pair(AGES, tweet)
  if present and present[1] > tonumber(edit) then return 1 end
  if (group or '') ~= '' then copies.join(tweet, group, window_ms, stamp, true) end
  put_task(tweet, edit, version, names.score(tweet, score, received, labels), task, labels, received)
  if leads == '1' then copies.lead(tweet) end
  return 1
end

-- Leases the task that this decision has opened to whoever has reserved it.
local function grant(tweet, stamp)
  local at, lease_ms, token, reviewer = reservation(tweet)
  if at ~= tonumber(stamp) then return end
  redis.call('DEL', of(RESERVED, tweet))
  operations.take(tweet, reviewer, token, lease_ms)
end

function operations.reopen(tweet, edit, stamp, ...)
  local changed = reopen(tweet, edit, stamp, ...)
  if changed == 1 then grant(tweet, stamp) end
  return changed
end

-- Changes whether the post is hidden. Its task goes, or comes back with what came for it meanwhile. Returns 1 on a change.
local function set_hidden(change, tweet)
  local changed = redis.call(change, HIDDEN, tweet)
  copies.changed(tweet)
  return changed
end

function operations.hide(tweet) return erased(tweet) and 0 or set_hidden('SADD', tweet) end

function operations.show(tweet) return set_hidden('SREM', tweet) end

-- Returns 1 if the post was not erased before.
function operations.erase(tweet)
  local changed = redis.call('SADD', ERASED, tweet)
  redis.call('SREM', HIDDEN, tweet)
  forget_post(tweet)
  return changed
end

-- Returns what the queue holds of a post, as 1 or 0 each: a task, a lease, a decision, the marks HIDDEN and ERASED, and
-- what is known of its copies.
function operations.holds(tweet)
  return {
    redis.call('HEXISTS', TASKS, tweet),
    lease(tweet) and 1 or 0,
    (pair(SETTLED, tweet) or pair(RETRACTED, tweet) or history.holds(tweet)) and 1 or 0,
    redis.call('SISMEMBER', HIDDEN, tweet),
    redis.call('SISMEMBER', ERASED, tweet),
    copies.holds(tweet),
  }
end

-- Returns tweet, task, end of the lease (0: none), reviewer ('': none), number of copies.
local function row_of(tweet)
  local ends = lease(tweet)
  local reviewer = ends and string.match(redis.call('HGET', HOLDERS, tweet), '^%S+ (.*)$')
  return {tweet, redis.call('HGET', TASKS, tweet), ends or 0, reviewer or '', copies.count(tweet)}
end

function operations.list(limit, offset)
  local rows = {}
  for _, tweet in ipairs(redis.call('ZRANGE', OPEN, offset, offset + limit - 1)) do
    table.insert(rows, row_of(tweet))
  end
  return rows
end

local skipped  -- see `claims.lua`

-- Returns the numbers of free tasks, leased tasks, settled posts, waiting copies, disputed and flagged tasks, and of free
-- tasks that the session, if one is named, skipped. Tasks of hidden posts do not count.
function operations.counts(program, session)
  local leased = redis.call('ZCOUNT', LEASES, '(' .. string.format('%.0f', now()), '+inf')
  local open = redis.call('ZCARD', OPEN) - leased - votes.waiting() - flags.waiting()
  return {open, leased, redis.call('HLEN', SETTLED), copies.waiting(), votes.waiting(), flags.waiting(), program and skipped(program, session) or 0}
end
