"""A stand-in for `model.vision.reader:load` that dies, hangs and fails on demand. Runs in the reader's process.

The red value of an image's first pixel is an order to the stub, and the green value is the image's number. The stub's
configuration is the path of its diary. It writes a line per image there, with the channels and the batch size.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from core.errors import UserError
from core.pixels import Pixels
from model.vision.values import MISCONFIGURED, Request, Tag, TextLine, VisualContext

HANG, DIE, RAISE, NO_TEXT, HELD, BABBLE, PRINT = 1, 2, 3, 4, 5, 6, 7


def chessboard(order: int = 100, number: int = 0, light: tuple[int, int, int] = (255, 255, 255)) -> Pixels:
    """Returns 16 x 16 pixels that are not plain. `light` is the colour of the light fields."""
    fields = [(0, 0, 0) if (row + column) % 2 else light for row in range(16) for column in range(16)]
    return Pixels(16, 16, bytes([order, number, 0, *(part for field in fields[1:] for part in field)]))


def released(diary: Path, number: int) -> Path:
    """Returns the file for which a `HELD` image waits."""
    return diary.with_name(f"{diary.name}.{number}")


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
        for request in batch:
            while request.pixels.rgb[0] == HELD and not released(self._diary, request.pixels.rgb[1]).exists():
                time.sleep(0.01)
        if DIE in orders:
            os._exit(7)
        if PRINT in orders:
            print("a library says hello", flush=True)
        if RAISE in orders:
            raise ValueError("an image that cannot be read")
        return [_read(request) for request in batch]


def _read(request: Request) -> VisualContext:
    order, number = request.pixels.rgb[:2]
    if order == BABBLE:  # no honest reader gives such a reason
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
    with Path(diary).open("a") as file:
        file.write("start\n")
    raise UserError("no such model: name another")


class Misconfigured(StubReader):
    def predict(self, batch: Sequence[Request]) -> list[VisualContext]:
        reason = f"{MISCONFIGURED}the tags model /nowhere cannot be loaded: name another"
        return [VisualContext(absent={"tags": reason})] * len(batch)


def load_misconfigured(diary: str, *, device: str, threads: int) -> StubReader:
    return Misconfigured(Path(diary))


def load_stuck(diary: str, *, device: str, threads: int) -> StubReader:
    """Stands for a model that is loaded over a slow network."""
    time.sleep(600)
    return load(diary, device=device, threads=threads)
