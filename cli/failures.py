"""Tells a person about an error in one line."""

from __future__ import annotations

import os
import sys
import traceback

from cli import extras
from core.errors import Reject, Retry, Stop, UserError
from core.secret import scrub
from core.text import printable

FAILED = 2
"""Exit code of a command that failed for a reason that a person can fix."""


def told(error: Exception) -> bool:
    """Prints one line about an error that a person can fix. Returns False, and prints nothing, for a fault of ours.

    MNER_LOG_LEVEL=DEBUG adds the traceback of errors of files and brokers, which no command expects.
    """
    message = _message(error)
    if message is None:
        return False
    print(f"mner: {printable(scrub(message))}", file=sys.stderr)
    return True


def _message(error: Exception) -> str | None:
    if isinstance(error, (UserError, Retry, Reject, Stop)):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return extras.missing(error)
    if not isinstance(error, OSError) and not _from_kafka(error):
        return None
    if os.environ.get("MNER_LOG_LEVEL") == "DEBUG":
        print(scrub("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    return f"{where}{getattr(error, 'strerror', None) or repr(error)}"


def _from_kafka(error: Exception) -> bool:
    """Whether a client of Kafka raised it. The two clients have base classes of the same name."""
    return any(kind.__name__ == "KafkaError" for kind in type(error).__mro__)
