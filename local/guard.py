"""Runs one server as its child and sees to it that the server never outlives its owner.

Started by `local.server` as a script, with the bare standard library: `python -I -S guard.py LOCK OWNER COMMAND...`
- LOCK is a file descriptor, locked by whoever started us (flock(2)) and held by us from now on: the kernel lets go of
  it however we die, so that a held lock means a running server, and no process number is ever trusted after its
  process is gone. Into the file we write the pids "GUARD SERVER OWNER"
- OWNER is the pid of the process that the server belongs to, which holds open the other end of the pipe on our standard
  input; when it dies, even by SIGKILL, the pipe ends or we get another parent, and the server is stopped.
  OWNER 0: nobody's; the server runs until the guard gets a SIGTERM
- on Linux the kernel kills the server when the guard dies (PR_SET_PDEATHSIG, prctl(2))
The exit code is the server's.
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
    prepare = _dies_with_guard()  # safe to run after the fork: there is one thread here
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=prepare)  # noqa: PLW1509
    os.write(lock, f"{os.getpid()} {server.pid} {owner}\n".encode())
    while server.poll() is None and not _stop_wanted(wake, owner):
        pass
    _stop(server)
    os.ftruncate(lock, 0)
    return server.returncode


def _wake_on(*signals: signal.Signals) -> int:
    """A file descriptor from which the numbers of arriving signals can be read."""
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
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
