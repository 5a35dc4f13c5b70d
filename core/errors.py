"""Errors, classed by what the pipeline does about them.

    Exception
    ├── UserError      shown to a person as one line that says what to do; exit code 2
    ├── Retry          the fault passes by itself: wait with backoff, try again, acknowledge nothing
    ├── Reject         this event can never succeed, because of what it holds: it becomes a dead letter
    │   └── Refused        a store refuses this event, and may refuse all others for the same reason
    ├── Stop           the deployment is broken: stop the worker, acknowledge nothing more
    └── BatchFailed    one item of a batch may be the cause: halve the batch until that item is alone
        └── ProcessDied    like BatchFailed, but an isolated item gets a second try

Any other exception inside a stage makes a dead letter too. Many of these in a row, or many `Refused`, stop the worker.
Events that are rejected for what they hold never do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake that the person at the terminal can correct. The message says how; no traceback is shown."""


class Retry(Exception):
    """A fault that passes, such as a server that is unreachable, or HTTP 429 or 5xx."""

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        """`after_s` is the shortest wait, in seconds, that the server asked for."""
        super().__init__(reason)
        self.after_s = after_s


class Reject(Exception):
    """This one event cannot be processed, because of what it holds. The message is the reason in its dead letter."""


class Refused(Reject):
    """A store refuses this event for a reason that may lie in the store, such as a mapping that is not ours."""


class Stop(Exception):
    """Going on would do harm: every event fails, or a sink refuses our credentials. The worker exits with an error."""


class BatchFailed(Exception):
    """Processing a batch failed, and any of its items may be the cause. See `core.isolate`."""


class ProcessDied(BatchFailed):
    """The process that had the batch died, or was killed because it took too long."""


def first_line(error: Exception) -> str:
    """Returns the first line of the error's message, or the name of its class when it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextmanager
def naming(source: str) -> Iterator[None]:
    """Puts `source`, the option or variable to blame, before the message of a `UserError` that the block raises."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
