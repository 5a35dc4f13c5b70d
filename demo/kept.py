"""The worker that `mner demo --keep` leaves running, and how `mner demo --stop` finds it.

The worker holds the lock on a file that contains its process number (`mner worker --pid-file`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from core.errors import UserError
from local.lock import is_held

FILE = "worker.pid"
POLL_S = 0.05


def running(home: Path) -> bool:
    """Returns whether the kept worker of `home` runs."""
    return is_held(home / FILE)


def stop(home: Path, timeout_s: float = 60.0) -> bool:
    """Sends SIGTERM to the kept worker and waits for its end. Returns whether one ran.

    Raises `UserError` when the worker cannot be stopped.
    """
    file, deadline = home / FILE, time.monotonic() + timeout_s
    if not running(home):
        file.unlink(missing_ok=True)
        return False
    pid = file.read_text()
    try:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGTERM)
    except (PermissionError, ValueError):
        raise UserError(f"process {pid or 'unknown'} holds {file} and does not belong to this user") from None
    while running(home):
        if time.monotonic() > deadline:
            raise UserError(f"the worker (process {pid}) did not end within {timeout_s:.0f} s")
        time.sleep(POLL_S)
    file.unlink(missing_ok=True)
    return True
