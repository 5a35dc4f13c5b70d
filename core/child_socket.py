"""The child's side of `core.child`: the socket to the parent, frames, and the child's end when the parent dies.

Imports little, because a sandboxed child loads all modules before it gives up access to the file system.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import sys

LENGTH = struct.Struct("!I")
"""Precedes the body of every frame: the body's length in bytes."""

_PR_SET_PDEATHSIG = 1


def open_socket(descriptor: int) -> socket.socket:
    """Returns the socket to the parent. Ignores SIGINT and SIGTERM from now on: only the parent ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.set_inheritable(descriptor, False)  # a process started from here must not keep the socket open
    return socket.socket(fileno=descriptor)


def end_with(parent: int) -> None:
    """Asks Linux to kill this process when its parent dies. On other systems, it ends when its socket closes."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the call
            os._exit(1)


def frame(body: bytes) -> bytes:
    """Returns `body` with its length before it."""
    return LENGTH.pack(len(body)) + body


def receive_frame(pipe: socket.socket) -> bytes:
    """Returns the next frame's body. Raises `EOFError` when the parent has closed its end."""
    (size,) = LENGTH.unpack(receive(pipe, LENGTH.size))
    return receive(pipe, size)


def receive(pipe: socket.socket, size: int) -> bytes:
    """Returns the next `size` bytes. Raises `EOFError` when the parent has closed its end."""
    body = bytearray(size)
    rest = memoryview(body)
    while rest:
        count = pipe.recv_into(rest)
        if count == 0:
            raise EOFError
        rest = rest[count:]
    return bytes(body)
