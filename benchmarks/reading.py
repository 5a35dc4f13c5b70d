"""The posts of a comparison, and one run of them through a checkpoint's network."""

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
    """A data set, and an out-of-distribution one."""

    name: str
    valid: list[Example]
    tweets: list[Example]
    """The posts that are measured."""
    ood_valid: list[Example]
    ood: list[Example]

    @property
    def parts(self) -> dict[str, list[Example]]:
        """The parts that are not empty, by name."""
        return {name: tweets for name, tweets in vars(self).items() if name != "name" and tweets}


def read(extractor: Extractor, examples: Sequence[Example], captions: bool) -> Reading:
    """Runs the examples through the checkpoint's network."""
    predictor = extractor.predictor
    return reading.read(predictor.network, extractor.tokenizer, examples, captions, predictor.device)


@dataclass(frozen=True)
class Read:
    """A checkpoint's readings of a data set."""

    extractor: Extractor
    captioned: Reading | None
    """The measured posts with captions; None without captions."""
    text: dict[str, Reading]
    """All parts read without captions, by their names in `Data.parts`."""

    @classmethod
    def of(cls, extractor: Extractor, data: Data) -> Self:
        """Reads every post without captions, and the measured posts also with captions, if there are any."""
        captioned = any(tweet.caption for tweet in data.tweets)
        text = {part: read(extractor, tweets, captions=False) for part, tweets in data.parts.items()}
        return cls(extractor, read(extractor, data.tweets, captions=True) if captioned else None, text)

    def ways(self) -> dict[str, Reading]:
        """Returns the readings of the measured posts, by what is read."""
        text = {"text": self.text["tweets"]}
        return text if self.captioned is None else {"text and caption": self.captioned} | text


def check_blind(extractor: Extractor) -> None:
    """Raises `UserError` if the checkpoint has a view `image`: the examples have no images."""
    if extractor.info.vision:
        raise UserError(f"{extractor.info.name} reads images, which this benchmark does not have")
