"""The worker that `mner demo --keep` leaves running, and how `--stop` finds it: `python -m demo.kept worker`.

It holds a lock on the file that names its process (flock(2)), and the kernel lets go of the lock however the process
dies: a held lock means that this very worker runs, and no process number is trusted after its process is gone.
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
    """The command line `mner`, its process named in the lock's file."""
    from streams.settings import load

    file = load().home / FILE
    with alone(file):
        file.write_text(str(os.getpid()))
        runpy.run_module("cli.main", run_name="__main__", alter_sys=True)  # a floor above: run, not imported


def running(home: Path) -> bool:
    try:
        with (home / FILE).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


def stop(home: Path, timeout_s: float = 60.0) -> bool:
    """SIGTERM, and wait for the end; False when none runs. Raises `UserError` when it cannot be stopped."""
    file, deadline = home / FILE, time.monotonic() + timeout_s
    if not running(home):
        file.unlink(missing_ok=True)
        return False
    pid = file.read_text()
    try:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGTERM)
    except (PermissionError, ValueError):
        raise UserError(f"the worker that holds {file} is not ours to stop (process {pid or 'unknown'})") from None
    while running(home):
        if time.monotonic() > deadline:
            raise UserError(f"the worker, process {pid}, did not end within {timeout_s:.0f} s")
        time.sleep(POLL_S)
    file.unlink(missing_ok=True)
    return True


if __name__ == "__main__":
    main()
