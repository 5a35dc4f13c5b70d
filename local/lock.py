"""Locks between processes (flock(2)). The kernel releases a lock when its holder dies, even by SIGKILL."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from core.errors import UserError


@contextlib.contextmanager
def alone(file: Path) -> Iterator[None]:
    """Waits for the lock on `file` and holds it during the block. Creates the file and its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def pid_file(file: Path) -> Iterator[None]:
    """Holds the lock on `file` for the length of the block. The file then contains this process's number.

    A held lock proves that this process runs. The number alone would not, since another process may get it later.
    Raises `UserError` if another process holds the lock.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lock:
        if not _locked(lock):
            raise UserError(f"{file} belongs to a process that still runs; stop it, or name another file")
        file.write_text(str(os.getpid()))
        yield


def _locked(lock: IO[str]) -> bool:
    """Tries for half a second to lock the file, since `is_held` of another process may hold the lock for a moment."""
    for _ in range(10):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.05)
    return False


def is_held(file: Path) -> bool:
    """Returns whether any process holds the lock on `file`."""
    try:
        with file.open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
