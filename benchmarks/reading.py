"""Tweets of a corpus run through a network once, to be decoded in many ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model.corpus import Example
from model.extractor import BATCH_TOKENS, Extractor, batches
from model.predictor import Output, run
from model.tagger import Tagger


@dataclass(frozen=True)
class Reading:
    """`examples` in the order of the rows of all `outputs`: short tweets first, the same order for every seed."""

    network: Tagger
    examples: list[Example]
    outputs: list[Output]

    @property
    def gold(self) -> list[tuple[str, ...]]:
        return [one.tags for one in self.examples]


def read(extractor: Extractor, examples: Sequence[Example], captions: bool) -> Reading:
    predictor = extractor.predictor
    encoded = [extractor.tokenizer.encode_words(one.words, one.caption if captions else None) for one in examples]
    groups = list(batches(encoded, BATCH_TOKENS))
    return Reading(
        predictor.network,
        [examples[row] for rows in groups for row in rows],
        [
            run(predictor.network, [encoded[row] for row in rows], predictor.info.tokenizer, predictor.device)
            for rows in groups
        ],
    )
