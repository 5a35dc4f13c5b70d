"""Sends many calls to Redis in few pipelines, and in shorter pipelines where something on the way breaks long ones
off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from core.errors import Reject, Retry
from sinks.answers.answer import Slow
from sinks.blame import Blame, reason

MOST = 1000
"""Largest number of calls in one pipeline."""

Call = tuple[str | int | float, ...]


class PipelineSize:
    """How many calls the next pipeline may hold."""

    def __init__(self) -> None:
        self.most = MOST

    def slow(self, count: int) -> None:
        """A pipeline of `count` calls got no answer."""
        self.most = max(1, count // 2)

    def finished(self, largest: int) -> None:
        """All pipelines of a batch passed, the largest with `largest` calls.

        The next ones grow only then, and only if a pipeline was full, so that a harmful call ends up in a pipeline of
        its own.
        """
        if largest >= self.most:
            self.most = min(MOST, 2 * self.most)


async def in_pipelines(
    send: Callable[[Sequence[Call]], Awaitable[int]], calls: Sequence[Call], size: PipelineSize, blame: Blame
) -> int:
    """Sends the calls in order, and returns the sum of the results. The second part of a call is a post's id.

    Raises `Reject` for a call that `blame` finds to break the connection each time.
    """
    done = start = largest = 0
    while start < len(calls):
        part = calls[start : start + size.most]
        try:
            done += await send(part)
        except Retry as fault:
            if isinstance(fault, Slow):
                size.slow(len(part))
            length = _length(part[0])
            if len(part) == 1 and await blame.is_due(str(part[0][1]), length, fault):
                raise Reject(reason("task", "Redis", length, fault)) from None
            raise
        blame.passed(str(call[1]) for call in part)
        start += len(part)
        largest = max(largest, len(part))
    if calls:
        size.finished(largest)
    return done


def _length(call: Call) -> int:
    return sum(len(part) for part in call if isinstance(part, str))
