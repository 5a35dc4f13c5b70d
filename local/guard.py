"""Runs one server as its child and sees to it that the server never outlives its owner.

Started by `local.server` as a script, with the bare standard library: `python -I -S guard.py LOCK OWNER COMMAND...`
- holds LOCK (flock) as long as it lives: the kernel lets go of it however the guard dies, so that a held lock means a
  running server, and no process number is ever trusted after its process is gone. The file says "GUARD SERVER" (pids)
- OWNER is the pid of the process that the server belongs to, whose end of the pipe on standard input is held open; when
  it dies, even by SIGKILL, the pipe ends or the guard gets another parent, and the guard stops the server.
  OWNER 0: nobody's; the server runs until the guard gets a SIGTERM
- on Linux the kernel kills the server when the guard dies (PR_SET_PDEATHSIG, prctl(2))
Exit code: the server's; 75 (EX_TEMPFAIL) when another guard holds LOCK.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import IO

BUSY = 75
LOCK_WAIT_S = 15.0  # longer than GRACE_S: a guard whose owner was just killed is still stopping its server
GRACE_S = 10.0
OWNER_CHECK_S = 0.5
PR_SET_PDEATHSIG = 1


def main(lock_path: str, owner: int, command: list[str]) -> int:
    wake = _wake_on(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
    with open(lock_path, "a") as lock:  # noqa: PTH123 (pathlib takes a third of this script's start)
        if not _acquire(lock):
            return BUSY
        prepare = _dies_with_guard()  # safe to run after the fork: there is one thread here
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=prepare)  # noqa: PLW1509
        lock.write(f"{os.getpid()} {server.pid}\n")
        lock.flush()
        while server.poll() is None and not _stop_wanted(wake, owner):
            pass
        _stop(server)
        lock.truncate(0)
        return server.returncode


def _wake_on(*signals: signal.Signals) -> int:
    """A file descriptor from which the numbers of arriving signals can be read."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in signals:
        signal.signal(number, lambda *_: None)
    return reading


def _acquire(lock: IO[str]) -> bool:
    deadline = time.monotonic() + LOCK_WAIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.truncate(0)  # the pids of a guard that was killed
            return True
        time.sleep(0.02)
    return False


def _dies_with_guard() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    libc, guard = ctypes.CDLL(None), os.getpid()

    def prepare() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:  # it died before the line above
            os._exit(1)

    return prepare


def _stop_wanted(wake: int, owner: int) -> bool:
    """Wait for a signal or the owner's end, for `OWNER_CHECK_S` at most."""
    sources = [wake, sys.stdin.fileno()] if owner else [wake]
    ready, _, _ = select.select(sources, [], [], OWNER_CHECK_S)
    if wake in ready and set(os.read(wake, 64)) - {signal.SIGCHLD}:
        return True
    # the pipe alone would not do: a process that the owner forked may hold its other end open
    return bool(owner) and (sys.stdin.fileno() in ready or os.getppid() != owner)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Ask politely, then kill, with all that the server itself has started."""
    if server.poll() is None:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(GRACE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
