"""What a vision channel is, and what holds for all of them. No torch here: the parent process reads this too.

A channel reads one thing of a picture: what is in it, what it shows in a sentence, the text in it. The pictures and so
the words come from strangers: every string passes `plain`, every list has a limit, and no context grows without bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self, TypeVar

from PIL.Image import Image
from pydantic import TypeAdapter

from model.vision import values

Reading = TypeVar("Reading")

DECIMALS = 4
"""Of scores and fractions: one picture read twice, alone or in company, gives the same bytes."""


class Channel(Protocol[Reading]):
    """Reads a batch at a time, one reading a picture, in order. Any exception may come out of `read`.

    Where it is changed to read otherwise, `RECIPE` in vision.py is raised.
    """

    def read(self, pictures: Sequence[Image]) -> list[Reading]: ...


@dataclass(frozen=True)
class ReaderConfig:
    """What the reader is told. `tags`, `caption`: a hub name or a folder; None: the built-in tags, and no captions."""

    channels: tuple[values.Channel, ...] = ("tags", "ocr")
    tags: str | None = None
    caption: str | None = None

    def to_json(self) -> str:
        """The same for any order of the channels."""
        return _CONFIG.dump_json(replace(self, channels=tuple(sorted(set(self.channels))))).decode()

    def weights(self) -> str:
        """Of the folders that are named: another text once a model was trained anew in place."""
        folders = [Path(name) for name in (self.tags, self.caption) if name]
        files = [path.stat() for folder in folders for path in folder.glob("*") if path.is_file()]
        return f"{max((one.st_mtime_ns for one in files), default=0)} {sum(one.st_size for one in files)}"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises `pydantic.ValidationError`."""
        return cls(**vars(_CONFIG.validate_json(text)))


_CONFIG = TypeAdapter(ReaderConfig)


def rounded(value: float) -> float:
    """In [0, 1]: a model's floating point may reach a hair beyond, a box may reach over the picture's edge."""
    return round(min(1.0, max(0.0, float(value))), DECIMALS)
