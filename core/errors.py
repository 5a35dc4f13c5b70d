"""What went wrong, classed by what the pipeline does about it.

    Exception
    ├── UserError      shown to a person as one line that says what to do; exit code 2
    ├── Retry          passes by itself: wait with backoff and try again, acknowledge nothing
    ├── Reject         this event can never succeed: dead letters, with the reason; its neighbours go on
    └── Stop           the deployment is broken: stop the worker, acknowledge nothing more

Any other exception inside a stage counts as `Reject` for the one event it was handling.
A leaf module: it imports nothing of the project, so that `model` and `sinks` may use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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


def first_line(error: Exception) -> str:
    """Of its message; its kind where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextmanager
def naming(source: str) -> Iterator[None]:
    """Puts `source`, an option or a variable that a person set, before the message of a `UserError` in the block."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
