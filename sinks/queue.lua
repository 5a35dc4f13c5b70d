-- The review queue's operations, each atomic. A post has at most one task, so the post's id identifies its task.
--
-- ARGV: operation, now (Unix ms; '' means this server's clock), then the operation's own arguments.
-- A task's age is the pair (edit, model version). A task with the greater pair is newer.
-- A stamp is the time of a decision in Unix ms. The decision with the later stamp wins.

local OPEN, TASKS, AGES, LEASES, HOLDERS, SETTLED, RETRACTED, ERASED = unpack(KEYS)
-- OPEN      zset  tweet -> -uncertainty     undecided tasks, leased or not; lowest score first, ties by post id
-- TASKS     hash  tweet -> task as JSON     of the open tasks
-- AGES      hash  tweet -> 'edit version'   of the open tasks
-- LEASES    zset  tweet -> end, Unix ms     a lease past its end does not count
-- HOLDERS   hash  tweet -> 'token reviewer'
-- SETTLED   hash  tweet -> 'edit stamp'     decided; stays after the task is gone, so that a replay adds no task
-- RETRACTED hash  tweet -> 'edit stamp'     decided, then taken back
-- ERASED    set   posts that must never return

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

local function drop_lease(tweet)
  redis.call('ZREM', LEASES, tweet)
  redis.call('HDEL', HOLDERS, tweet)
end

local function drop_task(tweet)
  drop_lease(tweet)
  redis.call('ZREM', OPEN, tweet)
  redis.call('HDEL', TASKS, tweet)
  redis.call('HDEL', AGES, tweet)
end

-- Puts a task into the queue. It replaces the post's earlier task and ends that task's lease.
local function put_task(tweet, edit, version, score, task)
  if redis.call('HGET', TASKS, tweet) == task then return end
  redis.call('ZADD', OPEN, score, tweet)  -- first: a full server refuses a script's first write, never a later one
  drop_lease(tweet)
  redis.call('HSET', TASKS, tweet, task)
  redis.call('HSET', AGES, tweet, edit .. ' ' .. version)
end

-- Records a decision under `key`, unless the recorded one is as new or newer: by edit, then by stamp.
local function decide(key, tweet, edit, stamp)
  if erased(tweet) then return false end
  local known = pair(SETTLED, tweet) or pair(RETRACTED, tweet)
  if known and not newer({tonumber(edit), tonumber(stamp)}, known) then return false end
  redis.call('HDEL', SETTLED, tweet)
  redis.call('HDEL', RETRACTED, tweet)
  redis.call('HSET', key, tweet, edit .. ' ' .. stamp)
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

function operations.add(tweet, edit, version, score, task)
  if erased(tweet) then return 0 end
  local decided, present = pair(SETTLED, tweet) or pair(RETRACTED, tweet), pair(AGES, tweet)
  if decided and decided[1] >= tonumber(edit) then return 0 end
  if present and not newer({tonumber(edit), tonumber(version)}, present) then return 0 end
  put_task(tweet, edit, version, score, task)
  return 1
end

-- An extraction of this age has no question, so an older open task is void. A task of the same age stays, since the
-- queue, like the index, keeps the first of two extractions of the same age. A retracted task stays too.
function operations.withdraw(tweet, edit, version)
  local present, retracted = pair(AGES, tweet), pair(RETRACTED, tweet)
  if not present or not newer({tonumber(edit), tonumber(version)}, present) then return 0 end
  if retracted and retracted[1] >= tonumber(edit) then return 0 end
  drop_task(tweet)
  return 1
end

function operations.claim(reviewer, token, lease_ms, ...)
  local passed = {}
  for _, tweet in ipairs({...}) do passed[tweet] = true end
  local place, page = 0, 100
  while true do
    local tweets = redis.call('ZRANGE', OPEN, place, place + page - 1)
    if #tweets == 0 then return false end
    for _, tweet in ipairs(tweets) do
      if not passed[tweet] and not lease(tweet) then return operations.take(tweet, reviewer, token, lease_ms) end
    end
    place = place + page
  end
end

function operations.take(tweet, reviewer, token, lease_ms)
  local task = redis.call('HGET', TASKS, tweet)
  if not task or lease(tweet) then return false end
  local ends = now() + tonumber(lease_ms)
  redis.call('ZADD', LEASES, ends, tweet)
  redis.call('HSET', HOLDERS, tweet, token .. ' ' .. reviewer)
  local retracted = pair(RETRACTED, tweet)
  return {tweet, task, ends, retracted and retracted[2] or 0}
end

-- Also works after the lease's end, as long as nobody else has taken the task.
function operations.renew(tweet, token, lease_ms)
  if not held_by(tweet, token) then return 0 end
  local ends = now() + tonumber(lease_ms)
  redis.call('ZADD', LEASES, ends, tweet)
  return ends
end

function operations.release(tweet, token)
  if not held_by(tweet, token) then return 0 end
  drop_lease(tweet)
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
