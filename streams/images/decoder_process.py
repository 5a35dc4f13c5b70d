"""The parent's handle of one decoding process.

What comes back is checked as strictly as what a stranger sends, since a stranger's file was at work in there.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Literal, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from core.pixels import Pixels
from streams.images.decode import MAX_SIDE
from streams.images.errors import MAX_REASON, ImageError
from streams.metrics import DECODER_RESTARTS

T = TypeVar("T")

START_TIMEOUT_S = 60.0
"""Importing Pillow and what the hash needs, on a busy machine. A picture's own limit counts from then."""

RECYCLE_AFTER = 10_000
"""Pictures, after which a process is replaced: bounds what a library leaks."""

MAX_HEADER = 4096
"""Bytes of JSON in a reply."""

KEPT_ENVIRONMENT = ("LD_LIBRARY_PATH", "PYTHONHOME")
"""What an interpreter may need in order to start. Nothing else is handed on: no secret, no proxy."""

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # numpy would start a thread a core, for sums of 64 x 64
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "33554432",  # glibc: what one picture gives back is there for the next one, instead of
    "MALLOC_TRIM_THRESHOLD_": "67108864",  # 500 page faults for each
}

_LENGTH, _REQUEST = struct.Struct("!I"), struct.Struct("!I?")

_Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]


class _Header(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Ready(_Header):
    ready: Literal[True]


class Found(_Header):
    """A picture; the bytes of the small one follow, if it was wanted."""

    format: Literal["JPEG", "PNG", "WEBP", "GIF"]
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    phash: str = Field(pattern=r"\A[0-9a-f]{64}\z")
    small: tuple[_Side, _Side] | None = None

    @model_validator(mode="after")
    def _small_is_no_larger(self) -> Self:
        if self.small and (self.small[0] > self.width or self.small[1] > self.height):
            raise ValueError("the small picture is larger than the picture")
        return self


class Refused(_Header):
    """`memory`: the process needed more than it may have, and ends."""

    kind: Literal["not_an_image", "bomb", "broken", "memory"]
    detail: str = Field(max_length=MAX_REASON)


_READY: TypeAdapter[Ready] = TypeAdapter(Ready)
_REPLY: TypeAdapter[Found | Refused] = TypeAdapter(Found | Refused)


class OnThread(Protocol):
    """Calls a blocking function in the thread that starts processes and outlives them."""

    def __call__(self, function: Callable[..., T], /, *arguments: object) -> Awaitable[T]: ...


class DecoderProcess:
    """One process at most, started when it is needed; one picture at a time, which the caller sees to.

    A fresh interpreter that runs `module`: it shares no memory, no environment and no open file with this one.
    """

    def __init__(self, on_thread: OnThread, module: str, max_pixels: int, memory_mb: int, timeout_s: float) -> None:
        self._on_thread = on_thread
        self._module = module
        self._max_pixels = max_pixels
        self._memory_mb = memory_mb
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: socket.socket | None = None
        self._buffer = memoryview(bytearray(3 * MAX_SIDE * MAX_SIDE))
        self._ready = False
        self._decoded = 0
        self._stopped = False

    @property
    def pid(self) -> int | None:
        """Of the running process; None when there is none."""
        return self._process.pid if self._process and self._process.poll() is None else None

    async def decode(self, body: bytes, small: bool) -> tuple[Found, Pixels | None]:
        """What was found, and the small picture if it was wanted. Raises `ImageError`, as `Decoders.decode` says."""
        await self._ensure_started()
        try:
            reply, pixels = await self._ask(body, small)
        except TimeoutError:
            await self.end()
            raise ImageError("too_slow", f"decoding takes more than {self._timeout_s:g} s") from None
        except (EOFError, OSError):
            raise ImageError("decoder_died", await self.end()) from None
        except ValueError:
            await self.end()
            raise ImageError("decoder_died", "it gave an answer that makes no sense, and was killed") from None
        if isinstance(reply, Found):
            return reply, pixels
        if reply.kind == "memory":
            await self.end()
            raise ImageError("bomb", f"needs more than {self._memory_mb} MB of memory")
        raise ImageError(reply.kind, reply.detail)

    def stop(self) -> None:
        """Kills the process for good; what it works on fails. `end` collects it."""
        self._stopped = True
        self._kill()

    async def end(self) -> str:
        """Kills the process if it still runs, collects it, closes the pipe; says how it ended. Not while it decodes."""
        self._kill()
        process, pipe, self._process, self._pipe = self._process, self._pipe, None, None
        if process is None or pipe is None:
            return "it was never started"
        code = await self._on_thread(process.wait)
        pipe.close()
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    async def _ensure_started(self) -> None:
        if not self._ready or self._decoded == RECYCLE_AFTER or not self._quiet():
            if self._decoded not in {0, RECYCLE_AFTER}:
                DECODER_RESTARTS.inc()
            await self.end()
            await self._start()
        self._decoded += 1

    async def _start(self) -> None:
        try:
            await self._on_thread(self._spawn)
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._header(_READY)
        except (EOFError, OSError, ValueError, RuntimeError) as error:  # in time, a thread for it, and well spoken
            raise ImageError("internal", f"no decoder could be started: {error!r}, {await self.end()}") from None
        self._ready, self._decoded = True, 0

    def _spawn(self) -> None:
        if self._stopped:
            raise EOFError
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            limits = [self._max_pixels, self._memory_mb, self._timeout_s]
            kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
            try:
                self._process = subprocess.Popen(
                    # -P: modules come from where ours do, never from a folder that happens to be the current one
                    [sys.executable, "-P", "-m", self._module, *map(str, [theirs.fileno(), os.getpid(), *limits])],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C reaches the parent alone, which decides
                    cwd="/",
                    env=kept | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)), **ENVIRONMENT},
                )
            except BaseException:
                ours.close()
                raise
        self._pipe = ours
        if self._stopped:
            self._kill()

    async def _ask(self, body: bytes, small: bool) -> tuple[Found | Refused, Pixels | None]:
        assert self._pipe is not None
        done = False
        try:
            async with asyncio.timeout(self._timeout_s):
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(self._pipe, _REQUEST.pack(len(body), small) + body)
                reply = await self._header(_REPLY)
                pixels = None
                if isinstance(reply, Found):
                    if reply.width * reply.height > self._max_pixels or small is (reply.small is None):
                        raise ValueError("more pixels than allowed, or another copy than was wanted")
                    if reply.small:
                        width, height = reply.small
                        pixels = Pixels(width, height, await self._receive(3 * width * height))
            done = True
        finally:
            if not done:  # an answer that may still come must not be taken for the next picture's
                self._kill()
        return reply, pixels

    async def _header(self, expected: TypeAdapter[T]) -> T:
        """Raises `EOFError`, `OSError`, `ValueError`."""
        (size,) = _LENGTH.unpack(await self._receive(_LENGTH.size))
        if size > MAX_HEADER:
            raise ValueError(f"a header of {size} bytes")
        return expected.validate_json(await self._receive(size))

    async def _receive(self, size: int) -> bytes:
        assert self._pipe is not None
        loop = asyncio.get_running_loop()
        wanted = rest = self._buffer[:size]
        while rest:
            count = await loop.sock_recv_into(self._pipe, rest)
            if count == 0:
                raise EOFError
            rest = rest[count:]
        return bytes(wanted)

    def _quiet(self) -> bool:
        """Whether the process is there and has nothing to say, as one should that was asked nothing."""
        assert self._pipe is not None
        try:
            self._pipe.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def _kill(self) -> None:
        """The pipe is closed by `end` alone: closing it here would leave whoever reads from it waiting for ever."""
        self._ready = False
        if self._process is not None and self._pipe is not None:
            self._process.kill()
            with suppress(OSError):
                self._pipe.shutdown(socket.SHUT_RDWR)
