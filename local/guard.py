"""Runs one server as a child process, and stops it when its owner ends.

`local.server` starts this script with only the standard library: `python -I -S guard.py LOCK OWNER COMMAND...`

- LOCK is a file descriptor that the caller has locked (flock(2)). The guard holds the lock from then on, and the kernel
  releases it when the guard dies. A held lock therefore proves that the server runs. The guard writes the process
  numbers "GUARD SERVER OWNER" into the file. They are valid only while the lock is held.
- OWNER is the number of the process that the server belongs to. The owner holds the other end of the pipe on standard
  input. When it dies, even by SIGKILL, the pipe closes or the guard gets another parent. The guard then stops the
  server. With OWNER 0 the server has no owner and runs until the guard gets SIGTERM.
- On Linux the kernel kills the server when the guard dies (PR_SET_PDEATHSIG, prctl(2)).

The exit code is that of the server.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable

GRACE_S = 10.0
OWNER_CHECK_S = 0.5
PR_SET_PDEATHSIG = 1


def main(lock: int, owner: int, command: list[str]) -> int:
    os.set_inheritable(lock, False)
    wake = _wake_on(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
    prepare = _dies_with_guard()  # safe after the fork, since this process has one thread
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=prepare)  # noqa: PLW1509
    os.write(lock, f"{os.getpid()} {server.pid} {owner}\n".encode())
    while server.poll() is None and not _should_stop(wake, owner):
        pass
    _stop(server)
    os.ftruncate(lock, 0)
    return server.returncode


def _wake_on(*signals: signal.Signals) -> int:
    """Returns a file descriptor that delivers the numbers of arriving signals."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in signals:
        signal.signal(number, lambda *_: None)
    return reading


def _dies_with_guard() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    libc, guard = ctypes.CDLL(None), os.getpid()

    def prepare() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:  # the guard died before the line above
            os._exit(1)

    return prepare


def _should_stop(wake: int, owner: int) -> bool:
    """Waits up to `OWNER_CHECK_S` for a signal or for the end of the owner."""
    sources = [wake, sys.stdin.fileno()] if owner else [wake]
    ready, _, _ = select.select(sources, [], [], OWNER_CHECK_S)
    if wake in ready and set(os.read(wake, 64)) - {signal.SIGCHLD}:
        return True
    # the pipe is not enough: a process that the owner forked may hold its other end open
    return bool(owner) and (sys.stdin.fileno() in ready or os.getppid() != owner)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Sends SIGTERM to the server, then SIGKILL to its whole process group."""
    if server.poll() is None:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(GRACE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
