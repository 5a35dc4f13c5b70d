"""Runs a predictor over tweets of a corpus, with and without their captions."""

from __future__ import annotations

from collections.abc import Sequence

from model.corpus import Example
from model.extractor import BATCH_TOKENS, batches
from model.mentions import Prediction
from model.predictor import Predictor
from model.scores import Scoreboard, scoreboard
from model.tokens import TweetTokenizer


def predict(
    predictor: Predictor, tokenizer: TweetTokenizer, examples: Sequence[Example], captions: bool
) -> list[Prediction]:
    """One prediction per tweet, in order; spans count the corpus's words."""
    encoded = [tokenizer.encode_words(one.words, one.caption if captions else None) for one in examples]
    predictions = [Prediction()] * len(examples)
    for rows in batches(encoded, BATCH_TOKENS):
        for row, prediction in zip(rows, predictor.predict([encoded[row] for row in rows]), strict=True):
            predictions[row] = prediction
    return predictions


def evaluate(
    predictor: Predictor, tokenizer: TweetTokenizer, examples: Sequence[Example], captions: bool
) -> Scoreboard:
    """The scores on one split."""
    return scoreboard([one.tags for one in examples], predict(predictor, tokenizer, examples, captions))
