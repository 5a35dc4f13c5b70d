"""Runs the posts of a corpus through a network once, so that the output can be decoded in many ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model.batch import batches
from model.checkpoint import Temperatures
from model.design import BATCH_TOKENS, CONTEXT, Design
from model.mentions import Prediction
from model.predictor import Output, decode, run
from model.tagger import Tagger
from model.tokens import TweetTokenizer
from model.training.corpus import Example


def caption_modes(design: Design, examples: Sequence[Example]) -> list[bool]:
    """Returns the reading modes that together use every view: False without captions, True with them."""
    without = bool(set(design.views) - {CONTEXT})
    captioned = CONTEXT in design.views and any(example.caption for example in examples)
    return [mode for mode, possible in ((False, without), (True, captioned)) if possible]


def outputs(
    network: Tagger, tokenizer: TweetTokenizer, examples: Sequence[Example], captions: bool, device: str
) -> Iterator[tuple[list[int], Output]]:
    """Yields the network's output for each batch, with the indices of the examples that are its rows."""
    encoded = [
        tokenizer.encode_words(each.words, each.caption if captions else None, each.image, each.accounts)
        for each in examples
    ]
    for rows in batches([each.cost for each in encoded], BATCH_TOKENS):
        yield rows, run(network, [encoded[row] for row in rows], tokenizer.config, device)


@dataclass(frozen=True)
class Reading:
    """A network's outputs for some examples, before decoding."""

    network: Tagger
    examples: list[Example]
    """In the order of the rows of all outputs: short posts first. Networks with the same tokenizer have the same
    order."""
    outputs: list[Output]

    @property
    def gold(self) -> list[tuple[str, ...]]:
        return [example.tags for example in self.examples]

    def predictions(self, temperatures: Temperatures, candidate_threshold: float = 1.0) -> list[Prediction]:
        """Returns the prediction of each example at these temperatures."""
        return [
            prediction
            for output in self.outputs
            for prediction in decode(self.network, output, temperatures, candidate_threshold)
        ]

    @property
    def joined(self) -> list[bool]:
        """Whether the fused belief of each example comes from several views."""
        return [joined for output in self.outputs for joined in output.joined.tolist()]


def read(
    network: Tagger, tokenizer: TweetTokenizer, examples: Sequence[Example], captions: bool, device: str
) -> Reading:
    """Runs the examples through the network. `captions`: whether the captions are read too."""
    pairs = list(outputs(network, tokenizer, examples, captions, device))
    return Reading(network, [examples[row] for rows, _ in pairs for row in rows], [output for _, output in pairs])
