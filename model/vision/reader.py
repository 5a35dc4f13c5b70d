"""Reads all channels of a batch of images. This code runs inside the image reader's process.

A failure affects only its channel and its image. When a channel fails on a batch, it reads the images one by one.
`absent` of an image lists the channels that still fail, with the reason.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from core.errors import UserError
from core.text import plain
from model.vision import values
from model.vision.channels import Channel, ReaderConfig
from model.vision.values import MISCONFIGURED, Request, Tag, TextLine, VisualContext

T = TypeVar("T")

log = logging.getLogger(__name__)

MAX_REASON = 200
"""Longest reason in characters."""

MAX_BROKEN_BATCHES = 3
"""When a channel fails with `BROKEN` on every image of this many batches in a row, the process ends."""

BROKEN = "CUDA error"
"""Part of the error message when a kernel has broken the CUDA context of this process. Running out of GPU memory has
another message and passes by itself."""


@dataclass(frozen=True)
class Absent:
    """Stands for a missing channel or reading, with the reason."""

    reason: str


TagsChannel = Channel[tuple[Tag, ...]] | Absent
CaptionChannel = Channel[str | None] | Absent
TextChannel = Channel[tuple[TextLine, ...]] | Absent


def load(config: str, *, device: str, threads: int) -> ChannelReader:
    """Loads the channels that `config`, JSON of a `ReaderConfig`, names.

    `device` is auto, cpu or cuda; `threads` are CPU threads. A channel that cannot be loaded is absent, so that the
    others still read. Its reason begins with `MISCONFIGURED` when a configured model or device is not available.

    Raises `UserError` when the configuration is invalid.
    """
    try:
        parsed = ReaderConfig.from_json(config)
    except ValidationError as error:
        raise UserError(f"invalid configuration of the image reader: {config!r}: {error.errors()[0]['msg']}") from None
    return ChannelReader(
        tags=_loaded("tags", parsed, lambda: _tags(parsed, device, threads)),
        caption=_loaded("caption", parsed, lambda: _caption(parsed, device, threads)),
        ocr=_loaded("ocr", parsed, lambda: _ocr(threads)),
    )


class ChannelReader:
    """Reads images with its channels, of which any may be absent. Not thread-safe."""

    def __init__(self, tags: TagsChannel, caption: CaptionChannel, ocr: TextChannel) -> None:
        self.tags = tags
        self.caption = caption
        self.ocr = ocr
        self._broken_batches: Counter[values.Channel] = Counter()

    def predict(self, batch: Sequence[Request]) -> list[VisualContext]:
        """Returns one context per request, in order, with the channels that it asks for.

        An image's context does not depend on the rest of the batch.

        Raises `SystemExit` when the GPU is broken for a channel, so that a fresh process takes over.
        """
        tags = self._read("tags", self.tags, batch)
        captions = self._read("caption", self.caption, batch)
        lines = self._read("ocr", self.ocr, batch)
        return [_context(*readings) for readings in zip(batch, tags, captions, lines, strict=True)]

    def _read(self, name: values.Channel, channel: Channel[T] | Absent, batch: Sequence[Request]) -> list[T | Absent]:
        """Returns one channel's readings, in order. Requests that do not ask for the channel get `Absent`."""
        if isinstance(channel, Absent):
            return [channel] * len(batch)
        readings: list[T | Absent] = [Absent("not asked for")] * len(batch)
        rows = [row for row, request in enumerate(batch) if name in request.channels]
        if not rows:
            return readings
        results = _read_or_absent(channel, [batch[row] for row in rows])
        for row, reading in zip(rows, results, strict=True):
            readings[row] = reading
        self._check_gpu(name, results)
        return readings

    def _check_gpu(self, name: values.Channel, results: Sequence[T | Absent]) -> None:
        reasons = [result.reason for result in results if isinstance(result, Absent) and BROKEN in result.reason]
        self._broken_batches[name] = self._broken_batches[name] + 1 if len(reasons) == len(results) else 0
        if self._broken_batches[name] >= MAX_BROKEN_BATCHES:
            raise SystemExit(
                f"the vision channel {name} failed on {MAX_BROKEN_BATCHES} batches in a row, "
                f"the last time with {reasons[-1]}"
            )


def _context(
    request: Request,
    tags: tuple[Tag, ...] | Absent,
    caption: str | Absent | None,
    lines: tuple[TextLine, ...] | Absent,
) -> VisualContext:
    readings: dict[values.Channel, object] = {"tags": tags, "caption": caption, "ocr": lines}
    return VisualContext(
        tags=() if isinstance(tags, Absent) else tags,
        caption=None if isinstance(caption, Absent) else caption,
        lines=() if isinstance(lines, Absent) else lines,
        absent={
            name: reading.reason
            for name, reading in readings.items()
            if isinstance(reading, Absent) and name in request.channels
        },
    )


def _read_or_absent(channel: Channel[T], batch: Sequence[Request]) -> list[T | Absent]:
    """Returns the readings of one channel. After an error, it reads the images one by one.

    It does not use `core.isolate`, which halves batches of awaitable work and retries after a process has died. This
    code is synchronous, runs inside that process, and repeats only the failing channel.
    """
    try:
        readings = channel.read([request.pixels.image() for request in batch])
        if len(readings) != len(batch):
            raise ValueError(f"{len(readings)} readings for {len(batch)} images")
    except Exception as error:  # a stranger's image may make a model raise anything
        if len(batch) == 1:
            return [Absent(_reason(error))]
        return [_read_or_absent(channel, [request])[0] for request in batch]
    return list(readings)


def _loaded(name: values.Channel, config: ReaderConfig, load: Callable[[], Channel[T]]) -> Channel[T] | Absent:
    if name not in config.channels:
        return Absent("off")
    if name == "caption" and config.caption is None:
        return Absent("no caption model is configured")
    try:
        return load()
    except UserError as error:  # `ImageReader.check` reports it to the person
        return Absent(f"{MISCONFIGURED}{error}")
    except Exception as error:  # a broken installation of one channel does not stop the others
        log.warning("the vision channel %s cannot be loaded: %s", name, _reason(error))
        return Absent(_reason(error))


def _reason(error: Exception) -> str:
    return plain(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}", MAX_REASON)


# Each loader imports its own libraries, so that a reader with only OCR needs no torch.


def _tags(config: ReaderConfig, device: str, threads: int) -> Channel[tuple[Tag, ...]]:
    from model.vision.tags import tags

    return tags(config.tags, _torch_device(device, threads))


def _caption(config: ReaderConfig, device: str, threads: int) -> Channel[str | None]:
    from model.vision.caption import Caption

    assert config.caption is not None
    return Caption(config.caption, _torch_device(device, threads))


def _ocr(threads: int) -> Channel[tuple[TextLine, ...]]:
    from model.vision.ocr import Text

    return Text(threads)


def _torch_device(device: str, threads: int) -> str:
    import torch

    from model.device import torch_device

    torch.set_num_threads(threads)
    return torch_device(device)
