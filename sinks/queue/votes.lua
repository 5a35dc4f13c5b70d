-- Votes of several people on one task. `queue.lua` and `claims.lua` run before this.
--
-- A voted task is in RETRACTED, since it is decided but open. It stays free for those who have not voted. Once all votes
-- are in and differ, the task is disputed: no claim gets it, and somebody takes it by its post's id.
--
-- The ballot belongs to the latest decision on the task. A later decision, a newer edit or a withdrawal clears it.

local VOTES, VOTERS, VOTED_BY, PASSER_OF = KEY.votes, KEY.voters, KEY.voted_by, KEY.passer_of
local IN_DISPUTE, DISPUTED = KEY.in_dispute, KEY.disputed
-- VOTES      hash  tweet -> ballot as JSON   of open and held tasks
-- VOTERS:tweet       set  reviewers who have voted on this task
-- VOTED_BY:reviewer  set  tweets that this reviewer has voted on
-- PASSER_OF  hash  passer -> reviewer        the passer passes over what this reviewer has voted on
-- IN_DISPUTE set   tweets of disputed tasks, whether leased, held or neither
-- DISPUTED   zset  tweet -> score            those of them that are in OPEN and not in LEASES

local REOPENED = '{"reopened":true}'  -- the ballot of a task that was settled, then taken back, and that has no votes

-- Returns the key of the set of what a passer's reviewer has voted on.
function votes.key_of(passer) return of(VOTED_BY, redis.call('HGET', PASSER_OF, passer) or '') end

function votes.unbind(passer) redis.call('HDEL', PASSER_OF, passer) end

function votes.is_disputed(tweet) return redis.call('SISMEMBER', IN_DISPUTE, tweet) == 1 end

operations.disputed = wait_apart(votes, DISPUTED, votes.is_disputed, function()
  return redis.call('SMEMBERS', IN_DISPUTE)
end)

-- Returns the passer for a reviewer's claims. It passes over what the reviewer has voted on.
function votes.passer(program, session, reviewer, passer_ms)
  local passer = program .. ':' .. (session ~= '' and session or '@' .. redis.sha1hex(reviewer))
  local bound = redis.call('HGET', PASSER_OF, passer)
  if bound == reviewer or not bound and redis.call('EXISTS', of(VOTED_BY, reviewer)) == 0 then
    return redis.call('ZSCORE', PASSERS, passer) and passer or program
  end
  redis.call('HSET', PASSER_OF, passer, reviewer)
  redis.call('ZADD', PASSERS, now() + tonumber(passer_ms), passer)
  fill_passed(passer)
  return passer
end

-- Returns the ballot as JSON; '' if nobody has decided or voted.
function votes.ballot(tweet)
  local ballot = redis.call('HGET', VOTES, tweet)
  return ballot or pair(RETRACTED, tweet) and REOPENED or ''
end

-- Forgets the votes on a task. The task stays where it is, free if it was listed for adjudication.
function votes.clear(tweet)
  if redis.call('HDEL', VOTES, tweet) == 0 then return end
  for _, reviewer in ipairs(redis.call('SMEMBERS', of(VOTERS, tweet))) do
    redis.call('SREM', of(VOTED_BY, reviewer), tweet)
  end
  redis.call('DEL', of(VOTERS, tweet))
  if redis.call('SREM', IN_DISPUTE, tweet) == 1 then names.place(tweet) end
  if redis.call('ZREM', DISPUTED, tweet) == 1 then set_free(tweet) else update_passed(tweet) end
end

-- Applies a decision that leaves the task open: a vote, or a retraction with votes. The first arguments are those of
-- `reopen`, the last ones are the reviewers who have voted. Ends the lease, whose holder does not know these votes.
function operations.vote(
  tweet, edit, stamp, version, score, task, leads, group, window_ms, received, labels, ballot, is_disputed, ...
)
  if reopen(tweet, edit, stamp, version, score, task, leads, group, window_ms, received, labels) == 0 then return 0 end
  if pair(AGES, tweet)[1] > tonumber(edit) then return 1 end
  redis.call('HSET', VOTES, tweet, ballot)
  for _, reviewer in ipairs({...}) do
    redis.call('SADD', of(VOTERS, tweet), reviewer)
    redis.call('SADD', of(VOTED_BY, reviewer), tweet)
  end
  if is_disputed == '1' then redis.call('SADD', IN_DISPUTE, tweet) end
  drop_lease(tweet)
  forget_unreadable(tweet)
  set_unfree(tweet)
  set_free(tweet)
  names.place(tweet)
  grant(tweet, stamp)
  return 1
end

-- Applies the vote of a reviewer who has leased the task. Returns 0 if the lease is lost. A repeated call does nothing.
function operations.cast(token, tweet, edit, stamp, ...)
  local known = pair(RETRACTED, tweet)
  if known and known[1] == tonumber(edit) and known[2] == tonumber(stamp) then return 1 end
  if not (held_by(tweet, token) and lease(tweet)) then return 0 end
  return operations.vote(tweet, edit, stamp, ...)
end

-- Returns what is decided about a post: 'settled', 'open' or '', then edit and stamp of the decision, then the edit of
-- the undecided task (-1: none), then the ballot.
function operations.decided(tweet)
  local settled, present = pair(SETTLED, tweet), pair(AGES, tweet)
  local known = settled or pair(RETRACTED, tweet)
  local edit = present and undecided(tweet) and present[1] or -1
  if not known then return {'', 0, 0, edit, ''} end
  return {settled and 'settled' or 'open', known[1], known[2], edit, votes.ballot(tweet)}
end
