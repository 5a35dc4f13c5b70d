"""Builds the decisions that a reviewer's answers lead to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

from core.events import Decision, Vote
from review.work import Work
from sinks.index.document import stamp_ms as stamp_of
from sinks.queue.values import Ballot, is_vote_of


def settle(work: Work, reviewer: str, stamp_ms: int, name: str | None = None) -> Decision:
    """Returns the decision of one person on a task whose questions are all answered. `name`: its id."""
    return Decision(
        id=name or uuid4().hex,
        kind="settle",
        task=work.task,
        mentions=work.mentions,
        verdicts=work.verdicts,
        reviewer=reviewer,
        decided_at=_moment(stamp_ms),
    )


def decide(work: Work, ballot: Ballot, reviewers: int, reviewer: str, stamp_ms: int, name: str) -> Decision:
    """Returns the decision on a task that needs the votes of several people.

    `reviewers`: how many. The answers settle the task if one person suffices, if they are the last vote and all agree,
    or if the votes of others differ. Otherwise they are a vote, and the task stays open.
    """
    settled = settle(work, reviewer, stamp_ms, name)
    if ballot.is_disputed:
        return settled.model_copy(update={"votes": ballot.votes, "votes_needed": len(ballot.votes)})
    if reviewers == 1 and not ballot.votes:
        return settled
    own = Vote(reviewer=reviewer, decided_at=_moment(stamp_ms), mentions=work.mentions, verdicts=work.verdicts)
    votes = (*(vote for vote in ballot.votes if vote.reviewer != reviewer), own)
    if len(votes) >= reviewers and agree(votes):
        return settled.model_copy(update={"votes": votes, "votes_needed": reviewers})
    return _still_open(settled, ballot, votes, reviewers)


def agree(votes: Sequence[Vote]) -> bool:
    """Whether all votes mark the same spans with the same types."""
    return len({frozenset((one.start, one.end, one.type) for one in vote.mentions) for vote in votes}) <= 1


def retract(settled: Decision, reviewer: str, stamp_ms: int) -> Decision:
    """Returns the decision that takes `settled` back, also one that answered a part of its task.

    The index then shows the model's confident mentions again, and the task is as it was before `settled`. Votes of
    others stay. So does the own vote if `settled` did not give it, but settled a dispute. The same arguments give the
    same record.
    """
    return Decision(
        id=sha256(f"retract {settled.id} {stamp_ms}".encode()).hexdigest()[:32],
        kind="retract",
        task=settled.task,
        mentions=settled.task.indexed,
        reviewer=reviewer,
        decided_at=_moment(stamp_ms),
        bulk_id=settled.bulk_id,
        **_kept(settled.votes, settled, settled.votes_needed),
    )


def of_bulk(work: Work, reviewer: str, stamp_ms: int, *, decision_id: str, bulk_id: str, looked_at: int) -> Decision:
    """Returns the decision on one of many tasks that were answered at once: a part of it, or all if none is open."""
    return Decision(
        id=decision_id,
        kind="settle" if work.done else "answer",
        task=work.task,
        mentions=work.mentions if work.done else work.task.indexed,
        verdicts=work.verdicts,
        reviewer=reviewer,
        decided_at=_moment(stamp_ms),
        bulk_id=bulk_id,
        looked_at=looked_at,
    )


def withdraw(vote: Decision, ballot: Ballot, reviewer: str, stamp_ms: int) -> Decision:
    """Returns the decision that takes a vote back from a task that is still open. `ballot`: the votes of now."""
    kept = _kept(ballot.votes, vote, vote.votes_needed)
    return _still_open(retract(vote, reviewer, stamp_ms), ballot, kept["votes"], vote.votes_needed)


def _kept(votes: Sequence[Vote], without: Decision, needed: int) -> dict[str, Any]:
    kept = tuple(vote for vote in votes if not is_vote_of(vote, without))
    return {"votes": kept, "votes_needed": needed if kept else 0}


def _still_open(decision: Decision, ballot: Ballot, votes: tuple[Vote, ...], needed: int) -> Decision:
    """Returns a decision that leaves the task open with these votes.

    If the task was settled once, it is a retraction again: compaction drops the earlier one, which the index needs.
    """
    kind, mentions = ("retract", decision.task.indexed) if ballot.reopened else ("vote", ())
    fields = {"kind": kind, "mentions": mentions, "verdicts": (), "votes": votes, "votes_needed": needed}
    return decision.model_copy(update=fields)


def stamp(decision: Decision) -> int:
    """Returns the decision's time in Unix milliseconds, which orders the decisions on one post."""
    return stamp_of(decision.decided_at)


def _moment(stamp_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=stamp_ms)
