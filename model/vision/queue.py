"""Pictures wait here for the reader's process. Bounded: what finds no room is refused at once, so nothing piles up.

A batch that kills the process is halved until the poisonous picture is alone.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from core.errors import Retry, Stop, UserError
from core.pixels import Pixels
from model.vision.values import Channel, Request, VisualContext
from model.worker import BatchFailed, ProcessHandle, WorkerDied

log = logging.getLogger(__name__)

LIVES = 2
"""How often one picture, alone, may see the process die: the first death may be somebody's `kill -9`."""

REST_S = 30.0
"""Seconds before a reader that did not come up is started again: each try costs seconds of a core."""

USUAL_BATCH = 8
"""Pictures that have the process' limit; more have as much more. A wall of text takes 4 s of one core."""

SWAY = 0.2
"""Of the last batch in the pace, seconds a picture: pictures full of text take ten times as long as others."""


class Missing(Exception):
    """Why a picture was not read. `kind`: busy (no room), timeout, unavailable (no reader), no_pixels, failed
    (the picture's own fault), closed, internal (ours)."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind


@dataclass(frozen=True, eq=False)
class _Waiting:
    request: Request
    read: asyncio.Future[VisualContext]


class ReadingQueue:
    """An async context manager; owns the process, which the first picture starts.

    `room` pictures may wait while up to `batch` are being read, and as many only as will be read within `wait_s`, by
    the pace of the last ones; one is always taken, and one batch while no pace is known.
    """

    def __init__(
        self,
        process: ProcessHandle[Request, VisualContext],
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
        self._pace_s: float | None = None
        self._clock = clock
        self._inside = 0
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._rest_until = float("-inf")

    async def __aenter__(self) -> Self:
        self._reading = asyncio.create_task(self._read_batches())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await self._process.close()
        with suppress(asyncio.CancelledError):
            await self._reading

    async def read(self, channels: tuple[Channel, ...], pixels: Callable[[], Awaitable[Pixels]]) -> VisualContext:
        """What these channels read. `pixels` is called once there is room. Raises `Missing` and nothing else."""
        if self._rests():
            raise _rested()
        if self._inside >= self._most():
            raise Missing("busy")
        self._inside += 1
        try:
            read: asyncio.Future[VisualContext] = asyncio.get_running_loop().create_future()
            self._waiting.put_nowait(_Waiting(Request(await _had(pixels), channels), read))
            return await read
        finally:
            self._inside -= 1

    def _rests(self) -> bool:
        return self._clock() < self._rest_until

    def _most(self) -> int:
        """Pictures inside that leave no room for another."""
        most = self._room + self._batch
        if self._wait_s == math.inf:
            return most
        if self._pace_s is None:
            return min(most, self._batch)
        return most if self._pace_s * most <= self._wait_s else 1 + int(self._wait_s / self._pace_s)

    async def _read_batches(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < self._batch and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            await self._read_batch(batch, deaths=0)

    async def _read_batch(self, batch: Sequence[_Waiting], deaths: int) -> None:
        """Settles every picture of it."""
        if self._rests():  # it was let in before
            return _refuse(batch, _rested())
        try:
            await self._process.start()
            started = self._clock()
            limit_s = self._process.timeout_s * max(1.0, len(batch) / USUAL_BATCH)
            contexts = await self._process.infer([waiting.request for waiting in batch], limit_s)
            took_s = (self._clock() - started) / len(batch)
            self._pace_s = took_s if self._pace_s is None else self._pace_s + SWAY * (took_s - self._pace_s)
        except (WorkerDied, BatchFailed) as fault:
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._read_batch(batch[:middle], 0)
                await self._read_batch(batch[middle:], 0)
            elif isinstance(fault, WorkerDied) and deaths + 1 < LIVES:
                await self._read_batch(batch, deaths + 1)
            else:
                _refuse(batch, Missing("failed", str(fault)))
        except (Retry, Stop, UserError) as fault:
            log.error("pictures go on unread for %g s: %s", REST_S, fault)
            self._rest_until = self._clock() + REST_S
            _refuse(batch, Missing("unavailable", str(fault)))
        except Exception as error:  # the next batch must find somebody here
            log.exception("pictures: a fault of the queue itself")
            _refuse(batch, Missing("internal", f"{type(error).__name__}: {error}"))
        else:
            for waiting, context in zip(batch, contexts, strict=True):
                if not waiting.read.done():
                    waiting.read.set_result(context)


def _rested() -> Missing:
    return Missing("unavailable", "the picture reader did not start; the log says why")


def _refuse(batch: Sequence[_Waiting], why: Missing) -> None:
    for waiting in batch:
        if not waiting.read.done():
            waiting.read.set_exception(why)


async def _had(pixels: Callable[[], Awaitable[Pixels]]) -> Pixels:
    try:
        return await pixels()
    except Exception as error:  # whoever holds the pixels says so in ways of its own
        raise Missing("no_pixels", str(error) or type(error).__name__) from None
