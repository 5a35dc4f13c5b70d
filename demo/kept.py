"""The processes that `mner demo --keep` leaves running, and how `mner demo --stop` finds them.

Each holds the lock on a file that contains its process number (`mner worker --pid-file`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from core.errors import UserError
from local.lock import is_held

WORKER, DESK = "worker", "desk"
#: The processes, in the order in which they are stopped.
NAMES = (DESK, WORKER)
POLL_S = 0.05


def file_of(home: Path, name: str) -> Path:
    """Returns the file that the process locks."""
    return home / f"{name}.pid"


def running(home: Path, name: str) -> bool:
    """Returns whether this process of `home` runs."""
    return is_held(file_of(home, name))


def stop(home: Path, name: str, timeout_s: float = 60.0) -> bool:
    """Sends SIGTERM to a process of `home` and waits for its end. Returns whether it ran.

    Raises `UserError` when it cannot be stopped.
    """
    file, deadline = file_of(home, name), time.monotonic() + timeout_s
    if not running(home, name):
        file.unlink(missing_ok=True)
        return False
    pid = file.read_text()
    try:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGTERM)
    except (PermissionError, ValueError):
        raise UserError(f"process {pid or 'unknown'} holds {file} and does not belong to this user") from None
    while running(home, name):
        if time.monotonic() > deadline:
            raise UserError(f"the {name} (process {pid}) did not end within {timeout_s:.0f} s")
        time.sleep(POLL_S)
    file.unlink(missing_ok=True)
    return True
