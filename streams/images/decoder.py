"""A pool of decoding processes. A file that crashes, hangs or bloats its decoder costs only that image."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from core.child import detached
from core.cores import usable_cores
from streams.images.decode import LoadedImage
from streams.images.decoder_process import DecoderProcess
from streams.images.errors import ImageError

OnRefusal = Callable[[ImageError], Awaitable[None]]

MODULE = "streams.images.decoder_main"

INLINE_HASH = 1_000_000
"""Longest file, in bytes, that is hashed in the event loop. For these, switching to a thread would take longer."""


class Decoders:
    """Decodes images in up to `count` processes. An async context manager.

    The first image that finds no idle process starts one.

    Args:
        count: Largest number of processes. 0 means one per core.
        max_pixels: Largest image, in pixels.
        memory_mb: Address space of each process, in 10^6 bytes.
        timeout_s: Longest time, in seconds, for decoding one image.
        wait_s: Longest time, in seconds, that an image waits for a process.
        module: The main module of the processes. Tests replace it.
    """

    def __init__(
        self,
        count: int,
        *,
        max_pixels: int,
        memory_mb: int,
        timeout_s: float,
        wait_s: float = math.inf,
        module: str = MODULE,
    ) -> None:
        self._wait_s = wait_s
        self._processes = [
            DecoderProcess(module, max_pixels, memory_mb, timeout_s) for _ in range(count or usable_cores())
        ]
        self._idle: asyncio.LifoQueue[DecoderProcess] = asyncio.LifoQueue()
        for process in reversed(self._processes):
            self._idle.put_nowait(process)
        self._running: set[asyncio.Task[LoadedImage]] = set()
        self._decoded = 0
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def count(self) -> int:
        """The largest number of processes."""
        return len(self._processes)

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the running processes."""
        return tuple(process.pid for process in self._processes if process.pid is not None)

    @property
    def busy(self) -> int:
        """How many images are being decoded."""
        return len(self._running)

    @property
    def decoded(self) -> int:
        """How many images were handed to a process so far."""
        return self._decoded

    async def decode(
        self, body: bytes, url: str, *, small: bool = True, sha256: str | None = None, refused: OnRefusal | None = None
    ) -> LoadedImage:
        """Returns the image in `body`, with its pixels when `small` is set. `sha256` is the body's hash, if known.

        When the caller is cancelled, the image is still decoded and then dropped. If the file is refused, `refused` is
        called with the error, even after a cancellation.

        Raises `ImageError`: not_an_image, bomb, broken, too_slow or decoder_died for the file's own faults; busy when
        no process was idle in time; internal when no process could be started, or after `close`.
        """
        try:
            async with asyncio.timeout(self._wait_s):
                process = await self._idle.get()
        except TimeoutError:
            raise ImageError("busy", f"no decoder was free within {self._wait_s:g} s") from None
        self._decoded += 1
        # No await between these lines: from here on the task returns the process, even when the caller is cancelled.
        task = detached(self._decode(process, body, url, small, sha256, refused))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Ends the processes at once. Images that are being decoded or are waiting are refused. May be called again."""
        self._closed = True
        for process in self._processes:
            process.stop()
        if self._running:
            await asyncio.wait(self._running)
        await asyncio.gather(*(process.end() for process in self._processes))

    async def _decode(
        self, process: DecoderProcess, body: bytes, url: str, small: bool, sha256: str | None, refused: OnRefusal | None
    ) -> LoadedImage:
        try:
            try:
                image, pixels = await process.decode(body, small)
                if sha256 is None:
                    sha256 = await sha256_of(body)
            finally:
                self._idle.put_nowait(process)
        except ImageError as error:
            if self._closed:  # closing is why the process died or did not start
                raise ImageError("internal", "the decoders are closed") from None
            if refused is not None:
                await refused(error)
            raise
        return LoadedImage(url, sha256, image.format, image.width, image.height, image.phash, pixels)


async def sha256_of(body: bytes) -> str:
    """Returns the digest in hex. Long bodies are hashed in a thread."""
    return await asyncio.to_thread(_sha256, body) if len(body) > INLINE_HASH else _sha256(body)


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
