"""Takes rights away from a decoding process before it reads a stranger's bytes.

Everything here is a feature of Linux and needs no privilege. When the kernel or a container refuses one step, the
other steps still hold.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys
from contextlib import suppress

from core.child_socket import end_with

_PR_SET_NO_NEW_PRIVS = 38

_CLONE_NEWUSER = 0x1000_0000
_CLONE_NEWNET = 0x4000_0000
_CLONE_NEWIPC = 0x0800_0000

_NOTHING = b"/proc/self/fdinfo"
"""A directory that holds only the numbers of this process's own file descriptors."""

_CAPABILITY_VERSION = 0x2008_0522  # capset(2), 64 bits in two halves

# landlock(7): the same numbers on every architecture
_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""Landlock version -> number of rights on files. Version 5 and later have 16."""


def limit(memory_mb: int) -> None:
    """Limits the address space to `memory_mb` x 10^6 bytes. Forbids writing files, core dumps and new processes."""
    limits = {
        "RLIMIT_AS": memory_mb * 1_000_000,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": 16,
        "RLIMIT_NPROC": 0,
    }
    for name, value in limits.items():
        with suppress(OSError, ValueError, AttributeError, OverflowError):  # a value out of range sets no limit
            resource.setrlimit(getattr(resource, name), (value, value))


def limit_cpu(seconds: float) -> None:
    """Ends this process (SIGXCPU) after `seconds` more of CPU time, in case the parent cannot stop it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    with suppress(OSError, ValueError, OverflowError):
        resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime + seconds) + 1, hard))


def confine(parent: int) -> None:
    """Gives up network, file system, signals to other processes and all privileges.

    From then on, this process ends when the process `parent` does. Call this while there is one thread, and after all
    imports, because no file can be opened afterwards.

    Without a user namespace and without root's privileges, paths can still be looked up. Landlock does not cover
    stat(2), chmod(2) and connect(2) to a UNIX socket.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.unshare(_CLONE_NEWUSER)  # the next three steps need no privilege in a user namespace
    libc.unshare(_CLONE_NEWNET)  # a network of its own, without a single interface that is up
    libc.unshare(_CLONE_NEWIPC)  # no System V memory, no message queues
    if libc.chroot(_NOTHING) == 0:  # this also forbids further user namespaces
        os.chdir("/")
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _landlock(libc)
    libc.capset(struct.pack("II", _CAPABILITY_VERSION, 0), bytes(24))  # a new user namespace grants every capability
    # last: the kernel forgets this request when a process gains capabilities, as it does in a new user namespace
    end_with(parent)


def _landlock(libc: ctypes.CDLL) -> None:
    """Sets a rule that grants nothing: no file, no TCP port (from version 4), no signal (from version 6)."""
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
