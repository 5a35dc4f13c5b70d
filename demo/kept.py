"""The worker that `mner demo --keep` leaves running, and how `--stop` finds it. Run as `python -m demo.kept worker`.

The worker locks the file that holds its process id (flock(2)). The kernel releases the lock however the process ends.
So a locked file means that this worker runs, and the id of a process that has ended is never used.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import runpy
import signal
import time
from pathlib import Path

from core.errors import UserError
from local.lock import alone

FILE = "worker.pid"
POLL_S = 0.05


def main() -> None:
    """Runs the command line `mner` with its process id in the locked file."""
    from streams.settings import load

    file = load().home / FILE
    with alone(file):
        file.write_text(str(os.getpid()))
        runpy.run_module("cli.main", run_name="__main__", alter_sys=True)  # run, not imported: cli is a layer above


def running(home: Path) -> bool:
    """Whether a kept worker runs in this home."""
    try:
        with (home / FILE).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


def stop(home: Path, timeout_s: float = 60.0) -> bool:
    """Stops the worker with SIGTERM and waits for its end. False when none runs. Raises `UserError` if it cannot."""
    file, deadline = home / FILE, time.monotonic() + timeout_s
    if not running(home):
        file.unlink(missing_ok=True)
        return False
    pid = file.read_text()
    try:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGTERM)
    except (PermissionError, ValueError):
        raise UserError(f"the worker of {file} (process {pid or 'unknown'}) is not ours to stop") from None
    while running(home):
        if time.monotonic() > deadline:
            raise UserError(f"the worker (process {pid}) did not end within {timeout_s:.0f} s")
        time.sleep(POLL_S)
    file.unlink(missing_ok=True)
    return True


if __name__ == "__main__":
    main()
