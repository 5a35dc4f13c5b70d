"""The protocol of a vision channel, and the reader's configuration.

Imports no torch, because the parent process imports this too.

A channel reads one thing in an image: the objects, a caption or the text. The images come from strangers, and so do the
words in them. So every string passes `plain`, and every list has a limit.
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
"""Decimals of scores and fractions. Rounding gives an image the same bytes whether it is read alone or in a batch."""


class Channel(Protocol[Reading]):
    """Reads a batch of images.

    Whoever changes what a channel reads must also raise `RECIPE` in image_reader.py.
    """

    def read(self, images: Sequence[Image]) -> list[Reading]:
        """Returns one reading per image, in order. May raise any exception."""


@dataclass(frozen=True)
class ReaderConfig:
    """Which channels the reader loads, and with which models."""

    channels: tuple[values.Channel, ...] = ("tags", "ocr")
    #: Hub name or folder of a model for tags. None for the built-in one.
    tags: str | None = None
    #: Hub name or folder of a model for captions. None for no captions.
    caption: str | None = None

    def to_json(self) -> str:
        """Returns the same text for any order of the channels."""
        return _CONFIG.dump_json(replace(self, channels=tuple(sorted(set(self.channels))))).decode()

    def weights_fingerprint(self) -> str:
        """Returns a text that changes when a model's folder changes, for example after training."""
        folders = [Path(name) for name in (self.tags, self.caption) if name]
        files = [path.stat() for folder in folders for path in folder.glob("*") if path.is_file()]
        return f"{max((file.st_mtime_ns for file in files), default=0)} {sum(file.st_size for file in files)}"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote. Raises `pydantic.ValidationError`."""
        return cls(**vars(_CONFIG.validate_json(text)))


_CONFIG = TypeAdapter(ReaderConfig)


def rounded(value: float) -> float:
    """Clips `value` to [0, 1] and rounds it. Rounding errors and boxes beyond the image's edge may lie outside."""
    return round(min(1.0, max(0.0, float(value))), DECIMALS)
