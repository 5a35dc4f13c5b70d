"""Tweets of a corpus run through a checkpoint's network once."""

from __future__ import annotations

from collections.abc import Sequence

from model import reading
from model.corpus import Example
from model.extractor import Extractor
from model.reading import Reading


def read(extractor: Extractor, examples: Sequence[Example], captions: bool) -> Reading:
    predictor = extractor.predictor
    return reading.read(predictor.network, extractor.tokenizer, examples, captions, predictor.device)
