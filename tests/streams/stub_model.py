"""A model without a network, for tests of everything around it. Its answers are known.

It runs in the same process as the real model, with the same protocol.

A post that begins with one of the words below makes the stub kill its process, raise, or take long. Any other post has
one mention, its first word, and every third post is uncertain. In a post that begins with `MAYBE`, the second word is a
candidate.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from model.mentions import Prediction, Span, ViewOpinion
from model.tokens import Encoded, TweetTokenizer

KILLS = "killer"
RAISES = "raiser"
SLEEPS = "sleeper"
MAYBE = "maybe"
PER_TWEET_S = 0.002
CONFIDENT, UNCERTAIN, POSSIBLE = 0.999, 0.2, 0.4
LAST_DIGIT = 1e-6


def text(number: int) -> str:
    """Returns the post that the tests feed under this number."""
    return f"word {'again ' * (number % 7)}{number}"


def uncertain(number: int) -> bool:
    """Returns whether that post must end in the review queue."""
    return number % 7 % 3 == 0


class StubModel:
    def __init__(self, tokenizer: TweetTokenizer) -> None:
        self._words = {word: tokenizer.encode(word, None).text for word in (KILLS, RAISES, SLEEPS, MAYBE)}

    def predict(self, batch: Sequence[Encoded]) -> list[Prediction]:
        for encoded in batch:
            if self._begins(encoded, KILLS):
                os.kill(os.getpid(), signal.SIGKILL)
            if self._begins(encoded, RAISES):
                raise RuntimeError("the stub was told to raise")
            if self._begins(encoded, SLEEPS):
                time.sleep(60)
        time.sleep(PER_TWEET_S * len(batch))
        return [self._predict(encoded, len(batch)) for encoded in batch]

    def _begins(self, encoded: Encoded, word: str) -> bool:
        return encoded.text[: len(self._words[word])] == self._words[word]

    def _predict(self, encoded: Encoded, company: int) -> Prediction:
        probability = UNCERTAIN if (len(encoded.spans) - 2) % 3 == 0 else CONFIDENT
        probability = round(
            probability + company * LAST_DIGIT, 6
        )  # as with a real network, other posts in the batch change the figures a little
        opinion = ViewOpinion(probability=probability, aleatoric=0.1, epistemic=0.1, share=1.0)
        start, end = encoded.spans[0]
        candidates = tuple(
            Span(*place, "LOC", POSSIBLE, 0.1, 0.1, {"text": replace(opinion, probability=POSSIBLE)})
            for place in encoded.spans[1:2]
            if self._begins(encoded, MAYBE)
        )
        return Prediction((Span(start, end, "PER", probability, 0.1, 0.1, {"text": opinion}),), candidates)


def load(checkpoint: Path, *, device: str, threads: int) -> StubModel:
    return StubModel(TweetTokenizer.load(checkpoint))
