-- Groups of tasks by name: those that ask about the same name with the same type. Tasks that nobody sees, and disputed and
-- flagged ones, are in no group. Also the order
-- of the queue, and what a person needs who decides a whole group. `queue.lua` and `copies.lua` run before this.
--
-- A name is the text of a post. So it stays only as long as a task that asks about it, and keys hold its digest.

local NAMES, NAMED, NAMES_OF, LABELS = KEY.names, KEY.named, KEY.names_of, KEY.labels
-- NAMES     zset  group -> number of its tasks
-- NAMED:group  zset  tweet -> score in OPEN
-- NAMES_OF  hash  tweet -> JSON: a list of [group, type, name, source]   of all tasks, also of those that nobody sees.
--                  The source is that of the post. It is missing in what a program before 0.4 added
-- LABELS    hash  group -> 'type name'                             of the groups in NAMES

local AGE_MS = 86400000  -- a task that is older by this counts as more uncertain by 1
local PAGE = 1000
local LOOK_AT = 5000  -- groups and tasks, in one call
local MOST_COUNTED = 10000  -- of a larger group, the first tasks are counted
local CROWD, HALF_CROWD = 0.2, 10  -- the most that a task loses if others ask about its name; half at so many others

-- Returns the task's score; the lowest comes first. It does not change while the task waits. So a task that comes
-- (1 + CROWD) * AGE_MS after it cannot come before it. `received` is when the post was received; '' means now. A task
-- with several names counts for the rarest one.
function names.score(tweet, score, received, labels)
  local fewest
  for _, label in ipairs(cjson.decode(labels)) do
    local tasks = of(NAMED, label[1])
    local others = redis.call('ZCARD', tasks) - (redis.call('ZSCORE', tasks, tweet) and 1 or 0)
    fewest = math.min(fewest or others, others)
  end
  local crowd = fewest and CROWD * fewest / (fewest + HALF_CROWD) or 0
  local since = math.min(tonumber(received) or now(), now())
  return string.format('%.17g', tonumber(score) + crowd + since / AGE_MS)
end

local function set_member(group, tweet, score, label)
  if score then
    redis.call('ZADD', of(NAMED, group), score, tweet)
    redis.call('HSET', LABELS, group, label)
  else
    redis.call('ZREM', of(NAMED, group), tweet)
  end
  local size = redis.call('ZCARD', of(NAMED, group))
  if size > 0 then return redis.call('ZADD', NAMES, size, group) end
  redis.call('ZREM', NAMES, group)
  redis.call('HDEL', LABELS, group)
end

local function place_in(tweet, labels, score)
  for _, label in ipairs(labels and cjson.decode(labels) or {}) do
    set_member(label[1], tweet, score, label[2] .. ' ' .. label[3])
  end
end

-- Puts the task into its groups if it is for everybody, and takes it out of them otherwise.
function names.place(tweet)
  local is_aside = votes.is_disputed(tweet) or flags.is_up(tweet)
  place_in(tweet, redis.call('HGET', NAMES_OF, tweet), not is_aside and redis.call('ZSCORE', OPEN, tweet))
end

-- Sets what the post's task asks about.
function names.set(tweet, labels)
  place_in(tweet, redis.call('HGET', NAMES_OF, tweet), false)
  redis.call('HSET', NAMES_OF, tweet, labels)
  names.place(tweet)
end

-- The post has no task any more.
function names.drop(tweet)
  place_in(tweet, redis.call('HGET', NAMES_OF, tweet), false)
  redis.call('HDEL', NAMES_OF, tweet)
end

-- Names a task that an older program has added. `digest` is the SHA-1 of the task that was read: it may be another by
-- now. An empty one means that there was none, and that the names of the post are left over. Returns 1 on a change.
function operations.name(tweet, digest, labels)
  local task, known = redis.call('HGET', TASKS, tweet), redis.call('HGET', NAMES_OF, tweet)
  if not task and known then names.drop(tweet) end
  if not task then return known and 1 or 0 end
  if known == labels or redis.sha1hex(task) ~= digest then return 0 end
  names.set(tweet, labels)
  return 1
end

local function source_of(tweet, labels)
  local label = labels and cjson.decode(labels)[1]
  if label and label[4] then return label[4] end
  local task = redis.call('HGET', TASKS, tweet)
  return task and cjson.decode(task).tweet.source
end

-- Returns the numbers of a group's tasks by the source of the post, without those that the reviewer has voted on, as a
-- list of source, number, source, number and so on. Also returns how many tasks it has looked at.
local function count_by_source(group, reviewer)
  local voted, counts, row = of(KEY.voted_by, reviewer), {}, {}
  local has_voted = redis.call('EXISTS', voted) == 1
  local tweets = redis.call('ZRANGE', of(NAMED, group), 0, MOST_COUNTED - 1)
  for start = 1, #tweets, PAGE do
    local page = {unpack(tweets, start, math.min(start + PAGE - 1, #tweets))}
    local labels = redis.call('HMGET', NAMES_OF, unpack(page))
    for place, tweet in ipairs(page) do
      local source = not (has_voted and redis.call('SISMEMBER', voted, tweet) == 1) and source_of(tweet, labels[place])
      if source then counts[source] = (counts[source] or 0) + 1 end
    end
  end
  for source, number in pairs(counts) do
    table.insert(row, source)
    table.insert(row, number)
  end
  return row, #tweets
end

-- Returns the place from which to go on (-1: there is no more), then a row for each of up to `limit` groups from `place`
-- on, the largest group first: type, name, and what `count_by_source` returns. Only groups whose names hold `part`
-- count; '' for all. One call looks at up to `LOOK_AT` groups and tasks, and then still at all that counts of its last
-- group, which is up to `MOST_COUNTED` tasks: a number that depends on the page would be wrong.
function operations.names(limit, place, part, reviewer)
  local rows, looked, place = {}, 0, tonumber(place)
  while true do
    local groups = redis.call('ZREVRANGE', NAMES, place, place + PAGE - 1)
    if #groups == 0 then return {-1, rows} end
    local labels = redis.call('HMGET', LABELS, unpack(groups))
    for at, group in ipairs(groups) do
      local kind, name = string.match(labels[at] or '', '^(%u+) (.*)$')
      local is_asked = name and string.find(name, part, 1, true)
      if looked >= LOOK_AT or is_asked and #rows == tonumber(limit) then return {place, rows} end
      if is_asked then
        local counts, tasks = count_by_source(group, reviewer)
        table.insert(rows, {kind, name, counts})
        looked = looked + tasks
      end
      looked, place = looked + 1, place + 1
    end
  end
end

-- Returns the place from which to go on (-1: there is no more), then the tasks of a group as `list` does, in their order.
-- A task that an older program has closed is taken out.
function operations.named(group, limit, offset)
  local tweets = redis.call('ZRANGE', of(NAMED, group), offset, offset + limit - 1)
  local rows, place = {}, offset + #tweets
  for _, tweet in ipairs(tweets) do
    if redis.call('ZSCORE', OPEN, tweet) then
      table.insert(rows, row_of(tweet))
    else
      set_member(group, tweet)
      place = place - 1
    end
  end
  return {redis.call('ZCARD', of(NAMED, group)) > place and place or -1, rows}
end
