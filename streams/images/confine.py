"""What a decoding process gives up before it reads a stranger's bytes. All of Linux, none of it needs a privilege.

Each step is its own: one that this kernel or a container's rules refuse is left out, the others still hold.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys
from contextlib import suppress

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38

_CLONE_NEWUSER = 0x1000_0000
_CLONE_NEWNET = 0x4000_0000
_CLONE_NEWIPC = 0x0800_0000

_NOTHING = b"/proc/self/fdinfo"
"""A directory with no more in it than the numbers of this process's own descriptors."""

_CAPABILITY_VERSION = 0x2008_0522  # capset(2), 64 bits in two halves

# landlock(7): the same numbers on every architecture
_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""Landlock version -> how many rights on files it knows; 16 from version 5 on."""


def limit(memory_mb: int) -> None:
    """Address space in 10^6 bytes; no file may grow, no core is dumped, no process or thread is started."""
    limits = {
        "RLIMIT_AS": memory_mb * 1_000_000,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": 16,
        "RLIMIT_NPROC": 0,
    }
    for name, value in limits.items():
        with suppress(OSError, ValueError, AttributeError, OverflowError):  # more than can be said is no limit
            resource.setrlimit(getattr(resource, name), (value, value))


def limit_cpu(seconds: float) -> None:
    """Kills this process (SIGXCPU) once it has used so many more seconds of CPU, should nobody be left to stop it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    with suppress(OSError, ValueError, OverflowError):
        resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime + seconds) + 1, hard))


def confine(parent: int) -> None:
    """No network, no file system, no signals to others, no privileges; ends when its `parent` does.

    To be called while there is one thread, after everything is imported: no file can be opened afterwards. Where
    neither a user namespace nor root's privileges are to be had, paths can still be looked up: Landlock says nothing
    of stat(2), chmod(2) and connect(2) to a UNIX socket.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.unshare(_CLONE_NEWUSER)  # in which it may do the following three
    libc.unshare(_CLONE_NEWNET)  # a network of its own, without a single interface that is up
    libc.unshare(_CLONE_NEWIPC)  # no System V memory, no message queues
    if libc.chroot(_NOTHING) == 0:  # which also forbids any more user namespaces
        os.chdir("/")
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _landlock(libc)
    libc.capset(struct.pack("II", _CAPABILITY_VERSION, 0), bytes(24))  # a new user namespace grants them all
    # last: the kernel forgets this wish when a process gains capabilities, as it does with a namespace
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def _landlock(libc: ctypes.CDLL) -> None:
    """Rules that grant nothing: no path can be opened, no TCP port used (version 4), nobody signalled (version 6)."""
    version = libc.syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_CREATE_RULESET_VERSION)
    if version < 1:
        return
    files = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    ports = 0b11 if version >= 4 else 0
    scoped = 0b11 if version >= 6 else 0
    rules = struct.pack("QQQ", files, ports, scoped)
    ruleset = libc.syscall(_LANDLOCK_CREATE_RULESET, rules, len(rules), 0)
    if ruleset >= 0:
        libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0)
        os.close(ruleset)
