-- Groups of copies: tasks whose posts have the same wording and image. `queue.lua` runs before this.
--
-- One task of a group leads it and is in OPEN. The others wait behind it, in HELD. The latest decision on one of them
-- holds for all: the group's ruling. A group is forgotten when its time is over and no task of it is undecided.
--
-- The window counts from when a post was received or decided. So a replay gives the same groups, and none for what lies
-- further back.
--
-- A group may have 100,000 members, so no call looks at all of them. A forgotten group loses its name at once, and its
-- former members are cleared away some at a time.

local GROUPS, GROUP_OF, LEADERS, RULINGS, WAITING, DECIDED, MEMBERS, UNDECIDED, RULED, FORGOTTEN = unpack(KEYS, 18, 27)
-- GROUPS    zset  group -> end, Unix ms     after this it is forgotten
-- GROUP_OF  hash  tweet -> group            a former member may stand here, so MEMBERS decides
-- LEADERS   hash  group -> tweet
-- RULINGS   hash  group -> 'stamp kind tweet decision'   without the decision, which is JSON, once its post is erased
-- WAITING   set   tweets of all groups that wait behind another one
-- DECIDED   hash  tweet -> task as JSON     of decided tasks in groups, to apply later decisions to them
-- MEMBERS:group  zset  tweet -> 0           in order of their ids
-- UNDECIDED:group  zset  tweet -> 0, or 1 if it is hidden   undecided tasks of this group; the first one may lead
-- RULED:tweet    set   groups whose ruling is a decision on this post
-- FORGOTTEN      zset  number -> number    of each forgotten group
-- FORGOTTEN:number  zset  tweet -> 0        former members of this one that are not cleared away yet

local CLEAR_AT_ONCE = 100  -- former members

local function ruling_of(group)
  local value = redis.call('HGET', RULINGS, group)
  if not value then return nil end
  local stamp, kind, tweet, decision = string.match(value, '^(%d+) (%l+) (%S+) ?(.*)$')
  return {stamp = tonumber(stamp), kind = kind, tweet = tweet, decision = decision}
end

local function group_of(tweet)
  local group = redis.call('HGET', GROUP_OF, tweet)
  return group and redis.call('ZSCORE', of(MEMBERS, group), tweet) and group
end

local function may_lead(tweet, group)
  return tweet and group_of(tweet) == group and not hidden(tweet)
end

local function drop_ruling(group)
  local ruling = ruling_of(group)
  if ruling then redis.call('SREM', of(RULED, ruling.tweet), group) end
  redis.call('HDEL', RULINGS, group)
end

function copies.follows(tweet)
  local group = group_of(tweet)
  local leader = group and redis.call('HGET', LEADERS, group)
  return leader and leader ~= tweet
end

-- Puts the post's undecided task where it belongs, and notes whether it may lead and whether it waits.
function copies.place(tweet)
  local group, score = group_of(tweet), undecided(tweet)
  local follows = copies.follows(tweet)
  if score and (follows or hidden(tweet)) then hold(tweet) elseif score then unhold(tweet) end
  if not group then return end
  if score then
    redis.call('ZADD', of(UNDECIDED, group), hidden(tweet) and 1 or 0, tweet)
  else
    redis.call('ZREM', of(UNDECIDED, group), tweet)
  end
  redis.call(score and follows and not hidden(tweet) and 'SADD' or 'SREM', WAITING, tweet)
end

local function set_leader(group, tweet)
  local former = redis.call('HGET', LEADERS, group)
  redis.call('HSET', LEADERS, group, tweet)
  copies.place(tweet)
  if former and former ~= tweet then copies.place(former) end
end

-- Chooses a leader if the group has none that may lead. Only an undecided task becomes one.
local function elect(group)
  local leader = redis.call('HGET', LEADERS, group)
  if may_lead(leader, group) then return end
  local first, score = unpack(redis.call('ZRANGE', of(UNDECIDED, group), 0, 0, 'WITHSCORES'))
  if score == '0' then return set_leader(group, first) end
  redis.call('HDEL', LEADERS, group)
  if leader then copies.place(leader) end
end

-- Clears away up to `limit` former members of forgotten groups. Returns how many there were.
local function clear(limit)
  local number, cleared = redis.call('ZRANGE', FORGOTTEN, 0, 0)[1], 0
  while number and cleared < limit do
    local tweets = redis.call('ZRANGE', of(FORGOTTEN, number), 0, limit - cleared - 1)
    redis.call('ZREMRANGEBYRANK', of(FORGOTTEN, number), 0, #tweets - 1)
    for _, tweet in ipairs(tweets) do
      if not group_of(tweet) then  -- it may have joined another group since
        redis.call('HDEL', GROUP_OF, tweet)
        redis.call('HDEL', DECIDED, tweet)
        redis.call('SREM', WAITING, tweet)
        if undecided(tweet) then copies.place(tweet) end
      end
    end
    cleared = cleared + #tweets
    if redis.call('EXISTS', of(FORGOTTEN, number)) == 0 then redis.call('ZREM', FORGOTTEN, number) end
    number = redis.call('ZRANGE', FORGOTTEN, 0, 0)[1]
  end
  return cleared
end

local function forget(group)
  drop_ruling(group)
  redis.call('ZREM', GROUPS, group)
  redis.call('HDEL', LEADERS, group)
  redis.call('UNLINK', of(UNDECIDED, group))
  if redis.call('EXISTS', of(MEMBERS, group)) == 0 then return end
  local number = string.format('%.0f', (redis.call('ZRANGE', FORGOTTEN, -1, -1)[1] or 0) + 1)
  redis.call('RENAME', of(MEMBERS, group), of(FORGOTTEN, number))
  redis.call('ZADD', FORGOTTEN, number, number)
end

-- Makes another task lead if the leader is decided.
local function relieve(group)
  local leader = redis.call('HGET', LEADERS, group)
  if leader and not undecided(leader) then
    redis.call('HDEL', LEADERS, group)
    elect(group)
  end
end

-- Forgets a group whose time is over, unless one of its tasks is undecided. If its leader is decided and others still
-- wait, the decision on the leader never came: the next one leads.
local function end_group(group)
  if redis.call('EXISTS', of(UNDECIDED, group)) == 1 then relieve(group) else forget(group) end
end

local function end_groups(before, limit)
  local ended = redis.call('ZRANGEBYSCORE', GROUPS, '-inf', string.format('%.0f', before), 'LIMIT', 0, limit)
  for _, group in ipairs(ended) do
    redis.call('ZADD', GROUPS, string.format('%.0f', now() + 60000), group)  -- looked at again in a minute
    end_group(group)
  end
  return #ended + clear(CLEAR_AT_ONCE)
end

function copies.end_some() return end_groups(now(), 3) end

-- Returns whether the group is known, after it has ended if its time is over.
local function exists(group)
  local ends = redis.call('ZSCORE', GROUPS, group)
  if not ends or tonumber(ends) > now() then return ends end
  end_group(group)
  return redis.call('ZSCORE', GROUPS, group)
end

-- Returns the end of a window. `since` is its beginning in Unix ms; '' stands for now.
local function window_end(since, window_ms)
  return math.min(tonumber(since) or now(), now()) + tonumber(window_ms)
end

local function touch(group, ends)
  local known = redis.call('ZSCORE', GROUPS, group)
  if not known or tonumber(known) < ends then redis.call('ZADD', GROUPS, string.format('%.0f', ends), group) end
end

function copies.leave(tweet)
  if not redis.call('HGET', GROUP_OF, tweet) then return end  -- writes nothing, as `put_task` requires
  local group = group_of(tweet)
  redis.call('HDEL', GROUP_OF, tweet)
  redis.call('HDEL', DECIDED, tweet)
  redis.call('SREM', WAITING, tweet)
  if not group then return end
  redis.call('ZREM', of(MEMBERS, group), tweet)
  redis.call('ZREM', of(UNDECIDED, group), tweet)
  elect(group)
end

-- Makes the post a member of this group only; '' stands for none. `since` is when it was received or decided. If this
-- is too long ago, it forms no new group, unless its task is undecided.
function copies.join(tweet, group, window_ms, since, is_undecided)
  copies.end_some()
  local known = (group or '') ~= '' and exists(group)
  if known and group_of(tweet) == group then return touch(group, window_end(since, window_ms)) end
  copies.leave(tweet)
  if (group or '') == '' then return end
  local ends = window_end(since, window_ms)
  if not known and not is_undecided and ends <= now() then return end
  redis.call('HSET', GROUP_OF, tweet, group)
  redis.call('ZADD', of(MEMBERS, group), 0, tweet)
  touch(group, ends)
end

-- The post has got a new undecided task. It leads its group if nobody else does.
function copies.opened(tweet)
  redis.call('HDEL', DECIDED, tweet)
  local group = group_of(tweet)
  if group and not hidden(tweet) and not may_lead(redis.call('HGET', LEADERS, group), group) then
    redis.call('HSET', LEADERS, group, tweet)
  end
  copies.place(tweet)
end

-- Keeps the task of a member that is decided.
function copies.keep(tweet, task)
  if group_of(tweet) and task then redis.call('HSET', DECIDED, tweet, task) end
end

-- The post is hidden or shown.
function copies.changed(tweet)
  local group = group_of(tweet)
  copies.place(tweet)
  if group then elect(group) end
end

-- Returns the other post whose task leads the post's group, if there is one, and the token under which it is leased for
-- whoever has reserved this post.
local function other_leader(tweet)
  local group = group_of(tweet)
  local leader = group and redis.call('HGET', LEADERS, group)
  local _, _, token = reservation(tweet)
  if leader and leader ~= tweet then return leader, 'leads:' .. (token or '') end
end

-- Returns whether somebody has leased the task that leads the post's group, and that is of another post.
function copies.is_busy(tweet)
  local leader, token = other_leader(tweet)
  return leader and lease(leader) and not held_by(leader, token)
end

-- Leases the task that leads the group of a reserved post, so that nobody takes it before that post leads.
function copies.reserve_leader(tweet, reviewer, lease_ms)
  local leader, token = other_leader(tweet)
  if leader then operations.take(leader, reviewer, token, lease_ms) end
end

-- A person takes back a decision on this post, and wants to see it again.
function copies.lead(tweet)
  local group = group_of(tweet)
  if group and not hidden(tweet) and not copies.is_busy(tweet) then set_leader(group, tweet) end
end

-- Forgets what decisions on this post say of its copies.
function copies.forget_rulings(tweet)
  for _, group in ipairs(redis.call('SMEMBERS', of(RULED, tweet))) do
    local ruling = ruling_of(group)
    if ruling and ruling.tweet == tweet then
      redis.call('HSET', RULINGS, group, string.format('%.0f', ruling.stamp) .. ' ' .. ruling.kind .. ' ' .. tweet)
    end
  end
  redis.call('DEL', of(RULED, tweet))
end

-- Returns 1 if the post has a place in a group, a task kept there, or a decision that holds for its copies.
function copies.holds(tweet)
  return redis.call('HEXISTS', GROUP_OF, tweet) == 1
    and 1 or redis.call('HEXISTS', DECIDED, tweet) == 1
    and 1 or redis.call('EXISTS', of(RULED, tweet))
end

-- Returns how many copies wait behind this post.
function copies.count(tweet)
  local group = group_of(tweet)
  if not group or redis.call('HGET', LEADERS, group) ~= tweet then return 0 end
  return redis.call('ZCOUNT', of(UNDECIDED, group), 0, 0) - (undecided(tweet) and not hidden(tweet) and 1 or 0)
end

-- Returns the stamp of the latest decision on the post or on one of its copies; 0 if none is known. A new decision
-- needs a later one, or it holds for none of the copies.
function copies.ruled_at(tweet)
  local group = group_of(tweet)
  local ruling = group and ruling_of(group)
  return ruling and ruling.stamp or 0
end

function copies.waiting() return redis.call('SCARD', WAITING) end

-- Records the decision on a post as the ruling of the group. Returns 0 if there is a later one, or if it was made too
-- long ago for a new group. The same one may come again.
function operations.rule(tweet, group, stamp, kind, decision, window_ms)
  if erased(tweet) then return 0 end
  copies.end_some()
  local ends = window_end(stamp, window_ms)
  if not exists(group) and ends <= now() then return 0 end
  local known = ruling_of(group)
  if known and (known.stamp > tonumber(stamp) or (known.stamp == tonumber(stamp) and known.tweet > tweet)) then
    return 0
  end
  drop_ruling(group)
  redis.call('HSET', RULINGS, group, stamp .. ' ' .. kind .. ' ' .. tweet .. ' ' .. decision)
  redis.call('SADD', of(RULED, tweet), group)
  touch(group, ends)
  return 1
end

-- Returns rows of tweet and task: up to `limit` members with ids after `last` ('' at the beginning).
function operations.members(group, last, limit)
  local rows = {}
  local from = last == '' and '-' or '(' .. last
  for _, tweet in ipairs(redis.call('ZRANGEBYLEX', of(MEMBERS, group), from, '+', 'LIMIT', 0, limit)) do
    local task = redis.call('HGET', TASKS, tweet) or redis.call('HGET', DECIDED, tweet)
    table.insert(rows, {tweet, task or ''})
  end
  return rows
end

-- Returns the decision that holds for this post and is to be sent to its topic, or ''. `since` is when the post was
-- received. A ruling holds within the window: for decisions before it, and for undecided posts received after it.
-- `stamp` is that of a decision on this post that was just read; '' if none was.
function operations.ruling(tweet, edit, since, window_ms, stamp)
  local group = group_of(tweet)
  local ruling = group and ruling_of(group)
  if not ruling then return '' end
  local settled, present = pair(SETTLED, tweet), pair(AGES, tweet)
  local own = settled or pair(RETRACTED, tweet)
  local is_late = stamp ~= '' and own and newer(own, {tonumber(edit), tonumber(stamp)})
  if is_late and own[2] == ruling.stamp and (ruling.tweet == tweet or own[1] == tonumber(edit)) then
    return ruling.decision  -- compaction would drop it, since the older decision lies behind it
  end
  if ruling.tweet == tweet then return '' end
  if own and own[1] > tonumber(edit) or present and present[1] > tonumber(edit) then return '' end
  if own and own[1] < tonumber(edit) then settled, own = nil, nil end
  if own and own[2] >= ruling.stamp then return '' end
  if settled then return ruling.stamp - own[2] < tonumber(window_ms) and ruling.decision or '' end
  if ruling.kind == 'retract' then return '' end  -- it is open
  local holds = own or (tonumber(since) or now()) - ruling.stamp < tonumber(window_ms)
  if holds and ruling.decision ~= '' then return ruling.decision end
  relieve(group)
  return ''
end

-- Ends groups whose time was over before this moment, and clears some of forgotten ones away. Returns how many groups
-- and former members were looked at: 0 when all is done.
function operations.end_groups(before, limit) return end_groups(tonumber(before), limit) end

-- Makes groups into single posts. Returns how many groups and former members were looked at: 0 when all is done.
function operations.dissolve(limit)
  local groups = redis.call('ZRANGE', GROUPS, 0, limit - 1)
  for _, group in ipairs(groups) do forget(group) end
  return #groups + clear(CLEAR_AT_ONCE)
end

-- A decision on another post cannot be applied to this one: it is asked about on its own.
function operations.alone(tweet)
  copies.leave(tweet)
  copies.place(tweet)
  return 1
end
