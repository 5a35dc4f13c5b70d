"""What the review queue answers: leases, entries, and what it holds of a post."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import AwareDatetime, Field

from core.events import Decision, ReviewTask, Value, Vote


class LeaseLost(Exception):
    """The task is no longer ours: another reviewer took it, or it was decided, replaced, hidden or erased."""


class Ballot(Value):
    """The votes on an open task. It is stored with the task, and never shown to somebody who votes."""

    votes: tuple[Vote, ...] = ()
    #: Whether all votes are in and differ. Then the task waits for somebody who settles it.
    is_disputed: bool = False
    #: Whether the task was settled before. Then the index may show that decision.
    reopened: bool = False


NO_VOTES = Ballot()

MAX_NOTE = 500
"""Longest note of a flag, in characters."""


class Flag(Value):
    """A reviewer left a task to somebody else."""

    reviewer: str = Field(min_length=1, max_length=128)
    note: str = Field("", max_length=MAX_NOTE)
    at: AwareDatetime
    #: Whether the task waits for somebody else. False after it was put back into the queue.
    is_up: bool = True


@dataclass(frozen=True)
class Claim:
    """A task leased to one reviewer."""

    task: ReviewTask
    reviewer: str
    token: str
    until: float  # Unix seconds
    #: The stamp of an earlier decision on this task that was taken back, or of one on a copy; 0 if there is none. A new
    #: decision must have a later stamp.
    after_ms: int = 0
    copies: int = 0  # copies of the post that wait for the same decision
    ballot: Ballot = NO_VOTES
    flag: Flag | None = None


@dataclass(frozen=True)
class Entry:
    """A task in the queue, leased or not."""

    task: ReviewTask
    reviewer: str | None = None  # set while the task is leased
    until: float | None = None  # end of the lease, Unix seconds
    copies: int = 0  # copies of the post that wait for the same decision


@dataclass(frozen=True)
class Counts:
    """Size of the queue."""

    open: int  # tasks that nobody works on
    leased: int  # tasks that a reviewer works on
    decided: int  # posts settled by a person
    copies: int = 0  # tasks that wait for the decision on a copy
    disputed: int = 0  # tasks on which the votes differ, and on which nobody works
    flagged: int = 0  # tasks that a reviewer left to somebody else, and on which nobody works
    skipped: int = 0  # those of the open tasks that the session in question skipped

    @property
    def apart(self) -> int:
        """Tasks that are not for everybody."""
        return self.disputed + self.flagged


@dataclass(frozen=True)
class Holding:
    """What the queue holds of one post."""

    task: bool  # an undecided task, which nobody sees if the post is hidden
    leased: bool
    decided: bool  # settled, settled and taken back, voted on, or in a reviewer's history
    hidden: bool
    erased: bool
    copies: bool = False  # a place in a group of copies, a task kept there, or a decision that holds for its copies

    @property
    def content(self) -> bool:
        """Whether it holds more than the mark that the post is erased."""
        return self.task or self.leased or self.decided or self.hidden or self.copies


@dataclass(frozen=True)
class Dispute:
    """A task on which the votes differ, or which a reviewer left to somebody else."""

    task: ReviewTask
    votes: tuple[Vote, ...]
    copies: int = 0  # copies of the post that wait for the same decision
    flag: Flag | None = None
    is_disputed: bool = True  # False: flagged, and not all votes are in, or none is needed


@dataclass(frozen=True)
class Decided:
    """What is decided about a post."""

    state: Literal["settled", "open", ""]  # open: taken back, or voted on but not settled; '': nothing is known
    edit: int
    stamp_ms: int
    task_edit: int  # edit of the undecided task, -1 if there is none
    ballot: Ballot = NO_VOTES

    def allows_reopening(self, decision: Decision, stamp_ms: int) -> bool:
        """Whether nobody has changed the decision since. `stamp_ms`: its own stamp."""
        edit = decision.task.tweet.edit
        if self.task_edit > edit or self.edit > edit:
            return False
        if not self.state or (self.edit, self.stamp_ms) <= (edit, stamp_ms):
            return True  # also if the queue does not know the decision yet
        return self.state == "open" and any(is_vote_of(vote, decision) for vote in self.ballot.votes)


def is_vote_of(vote: Vote, decision: Decision) -> bool:
    """Whether this vote was given by this decision."""
    return (vote.reviewer, vote.decided_at) == (decision.reviewer, decision.decided_at)


@dataclass(frozen=True)
class Remembered:
    """A decision in a reviewer's history."""

    decision: Decision
    is_changed: bool  # somebody has changed it since, so it cannot be opened again
