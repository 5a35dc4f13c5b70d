"""Locks between processes (flock(2)). The kernel releases a lock when its holder dies, even by SIGKILL."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def alone(file: Path) -> Iterator[None]:
    """Waits for the lock on `file` and holds it during the block. Creates the file and its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def pid_file(file: Path) -> Iterator[None]:
    """Holds the lock on `file` during the block. The file then contains this process's number.

    A held lock proves that this process runs. The number alone would not, since another process may get it later.
    """
    with alone(file):
        file.write_text(str(os.getpid()))
        yield


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
