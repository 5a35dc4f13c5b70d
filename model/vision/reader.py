"""All channels over a batch of pictures: what runs inside the vision process.

One channel's failure is not another's, and one picture's failure is not its neighbours': a batch that fails in a
channel is tried picture by picture there, and what still fails stands in `absent` with its reason.
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

WHOLE_FAILURES = 3
"""Whole batches in a row that a channel may fail on with an error of `BROKEN`."""

BROKEN = "CUDA error"
"""A GPU that a kernel has broken serves this process no more. Running out of its memory passes, and says otherwise."""


@dataclass(frozen=True)
class Absent:
    """There is nothing of a channel, and why."""

    reason: str


TagsChannel = Channel[tuple[Tag, ...]] | Absent
CaptionChannel = Channel[str | None] | Absent
TextChannel = Channel[tuple[TextLine, ...]] | Absent


def load(config: str, *, device: str, threads: int) -> Reader:
    """`config`: JSON of a `ReaderConfig`. `device`: auto, cpu or cuda; `threads`: of the CPU.

    A channel that cannot be loaded is absent, so that the others still read: `MISCONFIGURED` where a person named a
    model or a device that cannot be had. Raises `UserError` when the configuration is none.
    """
    try:
        wanted = ReaderConfig.from_json(config)
    except ValidationError as error:
        raise UserError(f"the picture reader's configuration {config!r}: {error.errors()[0]['msg']}") from None
    return Reader(
        tags=_loaded("tags", wanted, lambda: _tags(wanted, device, threads)),
        caption=_loaded("caption", wanted, lambda: _caption(wanted, device, threads)),
        ocr=_loaded("ocr", wanted, lambda: _ocr(threads)),
    )


class Reader:
    """Any channel may be absent. Not thread-safe."""

    def __init__(self, tags: TagsChannel, caption: CaptionChannel, ocr: TextChannel) -> None:
        self.tags = tags
        self.caption = caption
        self.ocr = ocr
        self._failures: Counter[values.Channel] = Counter()

    def predict(self, batch: Sequence[Request]) -> list[VisualContext]:
        """One context a picture, in order, of the channels that were asked for it. The company changes nothing.

        Raises `SystemExit`, to be replaced by a fresh process, when a GPU failed a channel `WHOLE_FAILURES` times.
        """
        tags = self._read("tags", self.tags, batch)
        captions = self._read("caption", self.caption, batch)
        lines = self._read("ocr", self.ocr, batch)
        return [_context(*read) for read in zip(batch, tags, captions, lines, strict=True)]

    def _read(self, name: values.Channel, channel: Channel[T] | Absent, batch: Sequence[Request]) -> list[T | Absent]:
        """One channel's readings, in order; of a picture that it was not asked for, `Absent`."""
        readings: list[T | Absent] = [channel if isinstance(channel, Absent) else Absent("not asked for")] * len(batch)
        asked = [row for row, request in enumerate(batch) if name in request.channels]
        if isinstance(channel, Absent) or not asked:
            return readings
        tried = _tried(channel, [batch[row] for row in asked])
        for row, reading in zip(asked, tried, strict=True):
            readings[row] = reading
        failed = [reading for reading in tried if isinstance(reading, Absent) and BROKEN in reading.reason]
        self._failures[name] = self._failures[name] + 1 if len(failed) == len(tried) else 0
        if self._failures[name] >= WHOLE_FAILURES:
            told = f"the last time with {failed[-1].reason}"
            raise SystemExit(f"the vision channel {name} failed on {WHOLE_FAILURES} batches in a row, {told}")
        return readings


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


def _tried(channel: Channel[T], batch: Sequence[Request]) -> list[T | Absent]:
    try:
        readings = channel.read([request.pixels.image() for request in batch])
        if len(readings) != len(batch):
            raise ValueError(f"{len(readings)} readings for {len(batch)} pictures")
    except Exception as error:  # whatever a model makes of a stranger's picture
        if len(batch) == 1:
            return [Absent(_reason(error))]
        return [_tried(channel, [request])[0] for request in batch]
    return list(readings)


def _loaded(name: values.Channel, wanted: ReaderConfig, make: Callable[[], Channel[T]]) -> Channel[T] | Absent:
    if name not in wanted.channels:
        return Absent("off")
    if name == "caption" and wanted.caption is None:
        return Absent("no model is set: MNER_VISION_CAPTION")
    try:
        return make()
    except UserError as error:  # whoever checks the reader tells it
        return Absent(f"{MISCONFIGURED}{error}")
    except Exception as error:  # a broken installation takes one channel, not all
        log.warning("the vision channel %s cannot be loaded: %s", name, _reason(error))
        return Absent(_reason(error))


def _reason(error: Exception) -> str:
    return plain(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}", MAX_REASON)


# each imports its libraries only where the channel is wanted: OCR alone needs no torch


def _tags(wanted: ReaderConfig, device: str, threads: int) -> Channel[tuple[Tag, ...]]:
    from model.vision.tags import tags

    return tags(wanted.tags, _device(device, threads))


def _caption(wanted: ReaderConfig, device: str, threads: int) -> Channel[str | None]:
    from model.vision.caption import Caption

    assert wanted.caption is not None
    return Caption(wanted.caption, _device(device, threads))


def _ocr(threads: int) -> Channel[tuple[TextLine, ...]]:
    from model.vision.ocr import Text

    return Text(threads)


def _device(device: str, threads: int) -> str:
    import torch

    torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("MNER_DEVICE=cuda, but torch sees no GPU: set MNER_DEVICE=auto or cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
