"""Tweets of a corpus, and one run of them through a checkpoint's network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from core.errors import UserError
from model.extractor import Extractor
from model.training import reading
from model.training.corpus import Example
from model.training.reading import Reading


@dataclass(frozen=True)
class Data:
    """One data set: the validation tweets, those that are measured, and of another kind both of these."""

    name: str
    valid: list[Example]
    tweets: list[Example]
    strange_valid: list[Example]
    strange: list[Example]

    @property
    def parts(self) -> dict[str, list[Example]]:
        """Those that there are, by name."""
        return {name: tweets for name, tweets in vars(self).items() if name != "name" and tweets}


def read(extractor: Extractor, examples: Sequence[Example], captions: bool) -> Reading:
    predictor = extractor.predictor
    return reading.read(predictor.network, extractor.tokenizer, examples, captions, predictor.device)


@dataclass(frozen=True)
class Read:
    """What one checkpoint made of a data set, each tweet read once: the measured tweets with captions, where there are
    any, and all parts as text alone, by their names in `Data.parts`."""

    extractor: Extractor
    captioned: Reading | None
    text: dict[str, Reading]

    @classmethod
    def of(cls, extractor: Extractor, data: Data) -> Self:
        captioned = any(one.caption for one in data.tweets)
        text = {part: read(extractor, tweets, captions=False) for part, tweets in data.parts.items()}
        return cls(extractor, read(extractor, data.tweets, captions=True) if captioned else None, text)

    def ways(self) -> dict[str, Reading]:
        """Of the measured tweets, by what is read."""
        found = {"text": self.text["tweets"]}
        return found if self.captioned is None else {"text and caption": self.captioned} | found


def check_blind(extractor: Extractor) -> None:
    """Raises `UserError` where the checkpoint has a view of images: the examples here have none."""
    if extractor.info.vision:
        raise UserError(f"{extractor.info.name} has a view of images, which this benchmark does not read")
