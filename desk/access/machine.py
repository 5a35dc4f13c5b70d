"""Keeps the desks of several machines from sharing one folder.

Desks of one machine may share it: they lock each file that they change. Over a network file system, a lock may count
for one machine only, and a change may be seen late: a removed user would stay, and lines of the audit log be lost.
"""

from __future__ import annotations

import fcntl
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from core.errors import UserError
from desk.access.private_file import PRIVATE, private_folder

FILE = "machine.lock"
TRIES, PAUSE_S = 40, 0.05
"""Attempts to lock the file, while another desk starts; and the time, in seconds, between two of them."""


@contextmanager
def one_machine(folder: Path) -> Iterator[None]:
    """Holds the folder for the desks of this machine. Raises `UserError` while a desk of another machine holds it."""
    private_folder(folder)
    descriptor = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    with os.fdopen(descriptor, "r+") as file:
        if _locked(file, fcntl.LOCK_EX, 1):  # no desk runs
            file.truncate(0)
            file.write(machine())
            file.flush()
        is_locked = _locked(file, fcntl.LOCK_SH, TRIES)
        file.seek(0)
        if not is_locked or file.read() != machine():  # another one came first
            raise UserError(
                f"a desk of another machine uses {folder}: only desks of one machine may share it; set MNER_HOME to a "
                "folder of this machine, and copy users.json, tokens.json and key.json there"
            )
        yield


def machine() -> str:
    """Returns what tells this machine from others, and is the same in its containers, until it starts again."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node()


def _locked(file: IO[str], kind: int, tries: int) -> bool:
    for left in reversed(range(tries)):
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if left:
                time.sleep(PAUSE_S)
        else:
            return True
    return False
