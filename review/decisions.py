"""Builds the decisions that a reviewer's answers lead to. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from core.events import Decision
from review.work import Work
from sinks.document import stamp_ms as stamp_of


def settle(work: Work, reviewer: str, stamp_ms: int) -> Decision:
    """Returns the decision on a task whose questions are all answered."""
    return Decision(
        id=uuid4().hex,
        kind="settle",
        task=work.task,
        mentions=work.mentions,
        verdicts=work.verdicts,
        reviewer=reviewer,
        decided_at=_moment(stamp_ms),
    )


def retract(settled: Decision, reviewer: str, stamp_ms: int) -> Decision:
    """Returns the decision that takes `settled` back. The index then shows the model's confident mentions again."""
    return Decision(
        id=uuid4().hex,
        kind="retract",
        task=settled.task,
        mentions=settled.task.confident,
        reviewer=reviewer,
        decided_at=_moment(stamp_ms),
    )


def stamp(decision: Decision) -> int:
    """Returns the decision's time in Unix milliseconds, which orders the decisions on one post."""
    return stamp_of(decision.decided_at)


def _moment(stamp_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=stamp_ms)
