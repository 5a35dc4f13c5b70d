"""A bounded queue in front of the image reader's process. An image that finds no room is turned away at once."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from core.errors import BatchFailed, Retry, Stop, UserError
from core.isolate import isolate
from core.pixels import Pixels
from model.vision.values import Channel, Request, VisualContext
from model.worker import BatchProcess

log = logging.getLogger(__name__)

RESTART_PAUSE_S = 30.0
"""Seconds to wait before a process that did not come up is started again. Each start costs seconds of CPU time."""

NOMINAL_BATCH = 8
"""Images that fit into the process's time limit. A larger batch gets a proportionally longer limit.
A page full of text takes 4 s on one core."""

PACE_WEIGHT = 0.2
"""Weight of the last batch in the moving average of seconds per image. Images full of text take ten times as long
as others."""


class NotRead(Exception):
    """An image was not read. `kind` says why:

    - busy: the queue has no room
    - timeout: the image was not read in time
    - unavailable: the process does not start
    - no_pixels: the caller could not provide the pixels
    - failed: the image makes the process fail
    - closed: the reader was closed
    - internal: a bug in this code
    """

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind


@dataclass(frozen=True, eq=False)
class _QueuedImage:
    request: Request
    context: asyncio.Future[VisualContext]

    def fail(self, reason: NotRead) -> None:
        if not self.context.done():
            self.context.set_exception(reason)


class ReaderQueue:
    """An async context manager that owns the process. The first image starts it.

    Up to `room` images wait while up to `batch` images are being read. With a finite `wait_s`, fewer images wait:
    as many as the process reads within `wait_s` at its recent pace, but at least one. While the pace is unknown,
    the queue admits one batch.
    """

    def __init__(
        self,
        process: BatchProcess[Request, VisualContext],
        *,
        batch: int,
        room: int,
        wait_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._process = process
        self._batch = batch
        self._room = room
        self._wait_s = wait_s
        self._clock = clock
        self._seconds_per_image: float | None = None
        self._admitted = 0
        self._queue: asyncio.Queue[_QueuedImage] = asyncio.Queue()
        self._paused_until = float("-inf")

    async def __aenter__(self) -> Self:
        self._worker = asyncio.create_task(self._read_batches())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._worker.cancel()
        await self._process.close()
        with suppress(asyncio.CancelledError):
            await self._worker

    async def read(self, channels: tuple[Channel, ...], pixels: Callable[[], Awaitable[Pixels]]) -> VisualContext:
        """Returns the context with these `channels`. Calls `pixels` once there is room. Raises only `NotRead`."""
        if self._paused:
            raise _unavailable()
        if self._admitted >= self._capacity():
            raise NotRead("busy")
        self._admitted += 1
        try:
            image = _QueuedImage(Request(await _loaded(pixels), channels), asyncio.get_running_loop().create_future())
            self._queue.put_nowait(image)
            return await image.context
        finally:
            self._admitted -= 1

    @property
    def _paused(self) -> bool:
        return self._clock() < self._paused_until

    def _capacity(self) -> int:
        """Returns how many images may wait or be read at once."""
        most = self._room + self._batch
        if self._wait_s == math.inf:
            return most
        if self._seconds_per_image is None:
            return min(most, self._batch)
        if self._seconds_per_image * most <= self._wait_s:
            return most
        return 1 + int(self._wait_s / self._seconds_per_image)

    async def _read_batches(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < self._batch and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await isolate(batch, self._read_batch, _fail_image)

    async def _read_batch(self, batch: Sequence[_QueuedImage]) -> None:
        """Settles every image of the batch. Raises `BatchFailed` when one of them may be at fault."""
        if self._paused:  # the pause began after these images were admitted
            return _fail_batch(batch, _unavailable())
        try:
            await self._process.start()
            started = self._clock()
            limit_s = self._process.timeout_s * max(1.0, len(batch) / NOMINAL_BATCH)
            contexts = await self._process.infer([image.request for image in batch], limit_s)
            self._update_pace((self._clock() - started) / len(batch))
        except BatchFailed:
            raise
        except (Retry, Stop, UserError) as fault:
            log.error("images are not read for %g s: %s", RESTART_PAUSE_S, fault)
            self._paused_until = self._clock() + RESTART_PAUSE_S
            _fail_batch(batch, NotRead("unavailable", str(fault)))
        except Exception as error:  # this task must survive: it serves the next batch too
            log.exception("unexpected error in the queue of the image reader")
            _fail_batch(batch, NotRead("internal", f"{type(error).__name__}: {error}"))
        else:
            for image, context in zip(batch, contexts, strict=True):
                if not image.context.done():
                    image.context.set_result(context)

    def _update_pace(self, seconds: float) -> None:
        pace = self._seconds_per_image
        self._seconds_per_image = seconds if pace is None else pace + PACE_WEIGHT * (seconds - pace)


def _unavailable() -> NotRead:
    return NotRead("unavailable", "the image reader did not start; see the log for the reason")


def _fail_batch(batch: Sequence[_QueuedImage], reason: NotRead) -> None:
    for image in batch:
        image.fail(reason)


def _fail_image(image: _QueuedImage, fault: BatchFailed) -> bool:
    image.fail(NotRead("failed", str(fault)))
    return False


async def _loaded(pixels: Callable[[], Awaitable[Pixels]]) -> Pixels:
    try:
        return await pixels()
    except Exception as error:  # each caller has exceptions of its own for missing pixels
        raise NotRead("no_pixels", str(error) or type(error).__name__) from None
