"""Tweets in, mentions out, in this process: what `mner predict` and a person's own Python code use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Self

from PIL.Image import Image

from core.events import Mention, Tweet
from core.pixels import Pixels
from model.checkpoint import CheckpointInfo
from model.context import visual_context
from model.design import BATCH_TOKENS
from model.mentions import Prediction, candidate_mentions, mentions
from model.predictor import Predictor, load
from model.tokens import Encoded, TweetTokenizer


class Extracted(NamedTuple):
    """Of one tweet. `candidates`: what the model did not choose but holds for possible, the likeliest first; `typicality`
    and `read` as in `model.mentions.Prediction`."""

    mentions: list[Mention]
    candidates: list[Mention]
    typicality: float | None
    read: bool = True


class Extractor:
    """Thread-safe; batch in, batch out."""

    def __init__(self, tokenizer: TweetTokenizer, predictor: Predictor) -> None:
        self.tokenizer = tokenizer
        self.predictor = predictor

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        device: str = "auto",
        threads: int = 0,
        candidate_threshold: float | None = None,
        views: Sequence[str] | None = None,
    ) -> Self:
        """From a checkpoint folder; `candidate_threshold` in place of the checkpoint's own; `views`: of the checkpoint's, to read
        no others. Raises `UserError`."""
        folder = Path(path)
        predictor = load(folder, device=device, threads=threads, candidate_threshold=candidate_threshold, views=views)
        return cls(TweetTokenizer.load(folder), predictor)

    @property
    def info(self) -> CheckpointInfo:
        return self.predictor.info

    def extract(
        self,
        tweets: Sequence[Tweet],
        contexts: Sequence[str | None] | None = None,
        images: Sequence[Image | None] | None = None,
    ) -> list[list[Mention]]:
        """The mentions of each tweet, in order. `contexts`: visual contexts in place of the media's own texts;
        `images`: pictures of the tweets, which only a checkpoint with a view `image` sees. Its vision model is loaded
        for the first of them: raises `UserError` where that fails."""
        return [found.mentions for found in self.extract_all(tweets, contexts, images)]

    def extract_all(
        self,
        tweets: Sequence[Tweet],
        contexts: Sequence[str | None] | None = None,
        images: Sequence[Image | None] | None = None,
    ) -> list[Extracted]:
        """As `extract`, with all else that the model says."""
        if contexts is None:
            contexts = [visual_context(tweet) for tweet in tweets]
        encoded = [self.tokenizer.encode(tweet.text, context) for tweet, context in zip(tweets, contexts, strict=True)]
        shown = [None] * len(tweets) if images is None else [one for _, one in zip(tweets, images, strict=True)]
        predictions = [Prediction()] * len(tweets)
        for rows in batches(encoded, BATCH_TOKENS):
            part = [self._with_pixels(encoded[row], shown[row]) for row in rows]
            for row, prediction in zip(rows, self.predictor.predict(part), strict=True):
                predictions[row] = prediction
        return [
            Extracted(
                list(mentions(tweet.text, found)),
                list(candidate_mentions(tweet.text, found)),
                found.typicality,
                found.read,
            )
            for tweet, found in zip(tweets, predictions, strict=True)
        ]

    def _with_pixels(self, encoded: Encoded, image: Image | None) -> Encoded:
        """Of an image that nobody sees nothing is read."""
        if self.info.vision is None or image is None:
            return encoded
        return replace(encoded, pixels=Pixels.of(image))


def batches(encoded: Sequence[Encoded], tokens: int) -> Iterator[list[int]]:
    """Indices in batches of like length, each of `tokens` padded tokens (longest x count) at most, or of one tweet."""
    batch: list[int] = []
    for index in sorted(range(len(encoded)), key=lambda index: encoded[index].cost):
        if batch and encoded[index].cost * (len(batch) + 1) > tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
