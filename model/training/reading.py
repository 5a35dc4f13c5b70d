"""Tweets of a corpus run through a network once, to be decoded in many ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model.checkpoint import Temperatures
from model.design import BATCH_TOKENS, CONTEXT, Design
from model.extractor import batches
from model.mentions import Prediction
from model.predictor import Output, decode, run
from model.tagger import Tagger
from model.tokens import TweetTokenizer
from model.training.corpus import Example


def ways(design: Design, examples: Sequence[Example]) -> list[bool]:
    """Whether tweets are read without their captions (False), with them (True), or both ways, so that every view that
    they can have is measured."""
    captioned = CONTEXT in design.views and any(one.caption for one in examples)
    return [on for on in (False, True) if (captioned if on else set(design.views) - {CONTEXT})]


def outputs(
    network: Tagger, tokenizer: TweetTokenizer, examples: Sequence[Example], captions: bool, device: str
) -> Iterator[tuple[list[int], Output]]:
    """What the network makes of each batch, and which of the `examples` are its rows; each is in one batch."""
    encoded = [tokenizer.encode_words(one.words, one.caption if captions else None, one.image) for one in examples]
    for rows in batches(encoded, BATCH_TOKENS):
        yield rows, run(network, [encoded[row] for row in rows], tokenizer.config, device)


@dataclass(frozen=True)
class Reading:
    """`examples` in the order of the rows of all `outputs`: short tweets first, the same order for every network."""

    network: Tagger
    examples: list[Example]
    outputs: list[Output]

    @property
    def gold(self) -> list[tuple[str, ...]]:
        return [one.tags for one in self.examples]

    def predictions(self, temperatures: Temperatures, candidate_threshold: float = 1.0) -> list[Prediction]:
        return [
            one for output in self.outputs for one in decode(self.network, output, temperatures, candidate_threshold)
        ]

    @property
    def joined(self) -> list[bool]:
        """Of each tweet, whether its fused belief is of several views."""
        return [one for output in self.outputs for one in output.joined.tolist()]


def read(
    network: Tagger, tokenizer: TweetTokenizer, examples: Sequence[Example], captions: bool, device: str
) -> Reading:
    found = list(outputs(network, tokenizer, examples, captions, device))
    return Reading(network, [examples[row] for rows, _ in found for row in rows], [output for _, output in found])
