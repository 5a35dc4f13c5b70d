"""What the process table says: the tests trust it rather than our own bookkeeping."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def of(folder: Path) -> list[str]:
    """Every process whose command line names a folder or that works in it, as `PID COMMAND`, but for this one.

    (Redis writes its address over its command line, but works in its data folder.)
    """
    table = subprocess.run(["ps", "-eww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    found = []
    for line in table.splitlines():
        pid = int(line.split()[0])
        if pid != os.getpid() and (str(folder) in line or folder in _works_in(pid).parents):
            found.append(line.strip())
    return found


def _works_in(pid: int) -> Path:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:  # it has just ended, or this system has no /proc
        return Path("/")


def eventually(condition: Callable[[], bool], within_s: float = 30.0) -> bool:
    """Whether it comes true in time."""
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
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background of a script
with Stack(Path(sys.argv[1]), sys.argv[2:]):
    print("ready", flush=True)
    time.sleep(600)
"""


def owner_of(home: Path, *names: str) -> subprocess.Popen[str]:
    """Another process that has a stack in `home`; returns when its servers are ready."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(home), *names], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "ready\n"
    return owner
