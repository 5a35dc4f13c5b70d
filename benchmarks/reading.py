"""Tweets of a corpus run through a checkpoint's network once."""

from __future__ import annotations

from collections.abc import Sequence

from model import reading
from model.corpus import Example
from model.extractor import Extractor
from model.reading import Reading
from streams.errors import UserError


def read(extractor: Extractor, examples: Sequence[Example], captions: bool) -> Reading:
    predictor = extractor.predictor
    return reading.read(predictor.network, extractor.tokenizer, examples, captions, predictor.device)


def check_blind(extractor: Extractor) -> None:
    """Raises `UserError` where the checkpoint has a view of images: the examples here have none."""
    if extractor.info.vision:
        raise UserError(f"{extractor.info.name} has a view of images, which this benchmark does not read")
