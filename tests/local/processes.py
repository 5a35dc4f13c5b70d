"""Reads the process table, which the tests trust more than the bookkeeping of `local`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def of(folder: Path) -> list[str]:
    """Returns `PID COMMAND` of every other process that names the folder in its command line or works in it.

    Redis overwrites its command line with its address, but its working directory is its data folder.
    """
    table = subprocess.run(["ps", "-eww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    lines = []
    for line in table.splitlines():
        pid = int(line.split()[0])
        if pid != os.getpid() and (str(folder) in line or folder in _working_directory(pid).parents):
            lines.append(line.strip())
    return lines


def _working_directory(pid: int) -> Path:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:  # the process has ended, or this system has no /proc
        return Path("/")


def eventually(condition: Callable[[], bool], within_s: float = 30.0) -> bool:
    """Returns whether the condition becomes true in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


OWNER = """
import signal, sys, time
from pathlib import Path
from local.stack import Stack
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a script ignores SIGINT
with Stack(Path(sys.argv[1]), sys.argv[2:]):
    print("ready", flush=True)
    time.sleep(600)
"""


@contextmanager
def owner_of(home: Path, *names: str, script: str = OWNER) -> Iterator[subprocess.Popen[str]]:
    """Runs another process with a stack in `home`, whose servers are ready when the block begins."""
    command = [sys.executable, "-c", script, str(home), *names]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "ready\n"
            yield owner
        finally:
            owner.kill()
