"""Decoding in processes of their own: a file that crashes, hangs or swells its decoder costs that picture alone."""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from streams.images.decode import LoadedImage
from streams.images.decoder_process import DecoderProcess
from streams.images.errors import ImageError

T = TypeVar("T")
Refused = Callable[[ImageError], Awaitable[None]]

MODULE = "streams.images.decoder_main"

INLINE_HASH = 1_000_000
"""Bytes: more are hashed in a thread, fewer are done before a thread would have begun."""


class Decoders:
    """A pool of processes, each started by the first picture that finds no other one free. An async context.

    `count` processes at most (0: one per core), `memory_mb` x 10^6 bytes of address space each, `timeout_s` seconds for
    one picture. Tests put another `module` in the place of what runs in them.
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
        # Starts and collects the processes, and outlives them: Linux sends the parent-death signal when the starting
        # *thread* ends.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="image-decoders")
        self._processes = [
            DecoderProcess(self._on_thread, module, max_pixels, memory_mb, timeout_s) for _ in range(count or _cores())
        ]
        self._idle: asyncio.LifoQueue[DecoderProcess] = asyncio.LifoQueue()
        for process in reversed(self._processes):
            self._idle.put_nowait(process)
        self._running: set[asyncio.Task[LoadedImage]] = set()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def count(self) -> int:
        return len(self._processes)

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the processes that run."""
        return tuple(process.pid for process in self._processes if process.pid is not None)

    async def decode(
        self, body: bytes, url: str, *, small: bool = True, sha256: str | None = None, refused: Refused | None = None
    ) -> LoadedImage:
        """The picture in `body`; `small`: with its pixels; `sha256`: of the body, where it is known. Raises
        `ImageError`: not_an_image, bomb, broken, timeout, decoder_died; internal when no process could be started, or
        after `close`.

        When the caller is cancelled the picture is still finished and dropped: replies never get mixed up. `refused`
        is told what the file was refused for, also then.
        """
        try:
            async with asyncio.timeout(self._wait_s):
                process = await self._idle.get()
        except TimeoutError:
            raise ImageError("busy", f"no decoder was free within {self._wait_s:g} s") from None
        # no await in between: from here on the task gives the process back, whatever becomes of the caller
        task = asyncio.ensure_future(self._decode(process, body, url, small, sha256, refused))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # looked at, if nobody else does
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Ends the processes at once; what they work on and what waits for them is refused. May be repeated."""
        self._closed = True
        for process in self._processes:
            process.stop()
        if self._running:
            await asyncio.wait(self._running)
        await asyncio.gather(*(process.end() for process in self._processes))
        self._thread.shutdown(wait=False)

    async def _decode(
        self, process: DecoderProcess, body: bytes, url: str, small: bool, sha256: str | None, refused: Refused | None
    ) -> LoadedImage:
        try:
            try:
                found, pixels = await process.decode(body, small)
                if sha256 is None:
                    sha256 = await sha256_of(body)
            finally:
                self._idle.put_nowait(process)
        except ImageError as error:
            if self._closed:  # which is why the process died or did not start
                raise ImageError("internal", "the decoders are closed") from None
            if refused is not None:
                await refused(error)
            raise
        return LoadedImage(url, sha256, found.format, found.width, found.height, found.phash, pixels)

    async def _on_thread(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


async def sha256_of(body: bytes) -> str:
    """In hex. Long ones beside the event loop."""
    return await asyncio.to_thread(_sha256, body) if len(body) > INLINE_HASH else _sha256(body)


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
