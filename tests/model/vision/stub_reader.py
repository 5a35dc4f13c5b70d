"""A stand-in for `model.vision.reader:load` that dies, hangs and fails on demand. Runs in the reader's process.

The red of a picture's first pixel is its order. It keeps a diary, in the file that is its configuration: one line for
each picture that it was given, with the channels and the size of the batch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from core.errors import UserError
from core.pixels import Pixels
from model.vision.values import Request, Tag, TextLine, VisualContext

HANG, DIE, RAISE, NO_TEXT, SLOW, BABBLE, PRINT = 1, 2, 3, 4, 5, 6, 7
SLOW_S = 0.5


def picture(order: int = 100, number: int = 0, light: tuple[int, int, int] = (255, 255, 255)) -> Pixels:
    """A chessboard of 16 x 16, not plain; `light`: its light fields."""
    fields = [(0, 0, 0) if (row + column) % 2 else light for row in range(16) for column in range(16)]
    return Pixels(16, 16, bytes([order, number, 0, *(part for field in fields[1:] for part in field)]))


class StubReader:
    def __init__(self, diary: Path) -> None:
        self._diary = diary

    def predict(self, batch: Sequence[Request]) -> list[VisualContext]:
        with self._diary.open("a") as diary:
            for request in batch:
                diary.write(f"{request.pixels.rgb[1]} {'+'.join(request.channels)} of {len(batch)}\n")
        orders = {request.pixels.rgb[0] for request in batch}
        if HANG in orders:
            time.sleep(600)
        if SLOW in orders:
            time.sleep(SLOW_S)
        if DIE in orders:
            os._exit(7)
        if PRINT in orders:
            print("a library says hello", flush=True)
        if RAISE in orders:
            raise ValueError("a picture that cannot be read")
        return [_read(request) for request in batch]


def _read(request: Request) -> VisualContext:
    order, number = request.pixels.rgb[:2]
    if order == BABBLE:  # as no honest reader would
        return VisualContext.model_construct(absent={"ocr": "\x1b[31m" + "x" * 1_000_000})
    line = TextLine(text=f"text {number}", score=0.9, box=((0, 0), (1, 0), (1, 1), (0, 1)))
    return VisualContext(
        tags=(Tag(label=f"tag {number}", score=0.9),) if "tags" in request.channels else (),
        caption=f"caption {number}" if "caption" in request.channels else None,
        lines=(line,) if "ocr" in request.channels and order != NO_TEXT else (),
        absent={"ocr": "broken: no session"} if "ocr" in request.channels and order == NO_TEXT else {},
    )


def load(diary: str, *, device: str, threads: int) -> StubReader:
    return StubReader(Path(diary))


def load_broken(diary: str, *, device: str, threads: int) -> StubReader:
    with Path(diary).open("a") as pages:
        pages.write("start\n")
    raise UserError("no such model; name another in MNER_VISION_TAGS")


class Misconfigured(StubReader):
    def predict(self, batch: Sequence[Request]) -> list[VisualContext]:
        why = "misconfigured: MNER_VISION_TAGS=/nowhere: cannot be loaded: name another"
        return [VisualContext(absent={"tags": why})] * len(batch)


def load_misconfigured(diary: str, *, device: str, threads: int) -> StubReader:
    return Misconfigured(Path(diary))


def load_stuck(diary: str, *, device: str, threads: int) -> StubReader:
    """As a model may be that is loaded over a slow line."""
    time.sleep(600)
    return load(diary, device=device, threads=threads)
