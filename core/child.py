"""Runs one of our modules in a child process. Each exchange has a deadline, and a dead child can be replaced.

A child reads data from strangers, which may exploit it. So the parent never unpickles its replies, limits their length
and validates them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from core.child_socket import LENGTH

T = TypeVar("T")

Receive = Callable[[int], Awaitable[bytes]]
"""Takes a number of bytes and returns exactly that many of the reply. Raises `EOFError` if the socket closes first."""

Read = Callable[[Receive], Awaitable[T]]
"""Reads and validates one reply. Raises `ValueError` when the reply is invalid."""

STDERR = 2

_MESSAGES = {
    "spawn": "did not start: {}",
    "died": "died: {}",
    "timeout": "did not answer within {} and was killed",
    "invalid": "sent an invalid reply and was killed: {}",
}


class ChildFailed(Exception):
    """The child failed in a start or an exchange, and has ended. The message continues a sentence: "the process ...".

    `detail` depends on `kind`:

        spawn      the error of the start
        died       how the process ended
        timeout    the time limit
        invalid    what is wrong with the reply
    """

    def __init__(self, kind: Literal["spawn", "died", "timeout", "invalid"], detail: str) -> None:
        super().__init__(_MESSAGES[kind].format(detail))
        self.kind = kind
        self.detail = detail


class ChildProcess:
    """Runs `python -P -m MODULE DESCRIPTOR PARENT ARGUMENTS...` in a fresh interpreter. One child runs at a time.

    DESCRIPTOR is the child's end of a socket (see `core.child_socket`). PARENT is the parent's process id. Parent and
    child share no memory, and no open file but standard error. Ctrl-C reaches only the parent. The child's environment
    is `environment` and PYTHONPATH.

    `start`, `exchange` and `end` must not run at the same time; callers see to that.
    """

    def __init__(
        self, module: str, arguments: Sequence[object], *, environment: Mapping[str, str], cwd: str | None = None
    ) -> None:
        self._module = module
        self._arguments = [str(argument) for argument in arguments]
        self._environment = environment
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        # This thread outlives the child: Linux sends the parent-death signal when the *thread* that spawned it ends.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="child-process")
        self._started = False
        self._stopped = False

    @property
    def pid(self) -> int | None:
        """The process id, or None when no process is running."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def ready(self) -> bool:
        """Whether the child has started and has sent no byte since the last exchange."""
        if not self._started or self._socket is None or self.pid is None:
            return False
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    async def start(self, request: bytes, read: Read[T], timeout_s: float) -> T:
        """Replaces the child with a fresh one and makes the first exchange with it. Raises `ChildFailed`."""
        await self.end()
        try:
            await self.run(self._spawn)
        except (OSError, RuntimeError) as error:  # RuntimeError: no memory for a thread
            await self.end()
            raise ChildFailed("spawn", str(error)) from None
        reply = await self.exchange(request, read, timeout_s)
        self._started = True
        return reply

    async def exchange(self, request: bytes, read: Read[T], timeout_s: float) -> T:
        """Sends `request` and returns the reply as `read` validates it.

        Raises `ChildFailed` when the child dies, sends an invalid reply or takes longer than `timeout_s`. When the
        caller is cancelled, the child is killed: a late reply must not be taken for the next one.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.get_running_loop().sock_sendall(self._open_socket, request)
                return await read(self._receive)
        except TimeoutError:
            await self.end()
            raise ChildFailed("timeout", f"{timeout_s:g} s") from None
        except (EOFError, OSError):
            raise ChildFailed("died", await self.end()) from None
        except ValueError as error:
            await self.end()
            first = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else error
            raise ChildFailed("invalid", str(first)) from None
        except BaseException:
            self._kill()
            raise

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Calls a blocking function on the child's own thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def stop(self) -> None:
        """Kills the child for good. The exchange in progress fails, and so does every later start."""
        self._stopped = True
        self._kill()

    async def end(self) -> str:
        """Kills the child if it is running, collects it and returns how it ended. Closes the thread after `stop`."""
        self._kill()
        process, pipe, self._process, self._socket = self._process, self._socket, None, None
        code = await self.run(process.wait) if process else None
        if pipe is not None:
            pipe.close()
        if self._stopped:
            self._thread.shutdown(wait=False)
        if code is None:
            return "it was never started"
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    def _spawn(self) -> None:
        if self._stopped:
            raise OSError("it was stopped")
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        with theirs:
            ends = [str(theirs.fileno()), str(os.getpid())]
            self._process = subprocess.Popen(
                # -P: files in the current folder must not shadow our modules
                [sys.executable, "-P", "-m", self._module, *ends, *self._arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=STDERR,  # libraries print, and the parent's output may be another program's input
                start_new_session=True,  # Ctrl-C reaches only the parent, which decides what to do
                cwd=self._cwd,
                env={**self._environment, "PYTHONPATH": os.pathsep.join(_import_path())},
            )
        if self._stopped:  # while the process was being spawned
            self._kill()

    @property
    def _open_socket(self) -> socket.socket:
        if self._socket is None:
            raise EOFError
        return self._socket

    async def _receive(self, size: int) -> bytes:
        body = bytearray(size)
        rest = memoryview(body)
        while rest:
            count = await asyncio.get_running_loop().sock_recv_into(self._open_socket, rest)
            if count == 0:
                raise EOFError
            rest = rest[count:]
        return bytes(body)

    def _kill(self) -> None:
        """Kills the child and shuts the socket down, so that a pending read ends.

        The socket stays open until `end`, since a pending read of a closed socket would wait for ever.
        """
        self._started = False
        if self._process is not None:
            self._process.kill()
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def _import_path() -> list[str]:
    """Returns the parent's import path without empty entries: they mean the current folder, which may hold any file."""
    return [str(Path(entry).absolute()) for entry in sys.path if entry]


async def receive_frame(receive: Receive, most: int) -> bytes:
    """Returns the body of one frame. Raises `ValueError` when it is longer than `most` bytes."""
    (size,) = LENGTH.unpack(await receive(LENGTH.size))
    if size > most:
        raise ValueError(f"a frame has {size} bytes, but {most} are allowed")
    return await receive(size)


def detached(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Starts `work` as a task that may outlive its caller. Await it with `asyncio.shield`."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # an unread error would cause a warning
    return task
