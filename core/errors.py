"""What went wrong, classed by what the pipeline does about it.

    Exception
    ├── UserError      shown to a person as one line that says what to do; exit code 2
    ├── Retry          passes by itself: wait with backoff and try again, acknowledge nothing
    ├── Reject         this event can never succeed: dead letters, with the reason; its neighbours go on
    ├── Stop           the deployment is broken: stop the worker, acknowledge nothing more
    └── BatchFailed    one item of a batch may be the cause: halve the batch until that item is alone
        └── ProcessDied    as above; a single item gets a second try, since the death may have another cause

Any other exception inside a stage counts as `Reject` for the one event it was handling.
A leaf module: it imports nothing of the project, so that `model` and `sinks` may use it.
"""

from __future__ import annotations


class UserError(Exception):
    """Something the person at the terminal can mend; the message says how. Never shown with a traceback."""


class Retry(Exception):
    """A passing fault (server away, 429, 5xx). `after_s`: seconds to wait at least, when the server said so."""

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.after_s = after_s


class Reject(Exception):
    """This one event cannot be processed. The message is the reason that the dead letter carries."""


class Stop(Exception):
    """Going on would do harm (every event fails, a sink refuses our credentials): the worker ends, non-zero."""


class BatchFailed(Exception):
    """Processing a batch failed, and any of its items may be the cause. See `core.isolate`."""


class ProcessDied(BatchFailed):
    """The process that had the batch died, or was killed because it took too long."""


def first_line(error: Exception) -> str:
    """Of its message; its kind where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
