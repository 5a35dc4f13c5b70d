"""Extracts mentions from posts in this process, for Python code and for the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Self

from PIL.Image import Image

from core.events import Account, Mention, Tweet
from core.pixels import Pixels
from model.accounts import Convention, accounts_in
from model.batch import batches
from model.checkpoint import CheckpointInfo, describe
from model.context import visual_context
from model.design import BATCH_TOKENS, RuntimeChoice
from model.mentions import Prediction, candidate_mentions, mentions
from model.predictor import Predictor, load
from model.runtime import choose_here
from model.tokens import Encoded, TweetTokenizer


class Extracted(NamedTuple):
    """The model's mentions and candidates of one post."""

    #: Mentions that the model chose, in order, none overlapping.
    mentions: list[Mention]
    #: Spans that the model did not choose but that may be mentions, most probable first.
    candidates: list[Mention]
    #: Share of the reference posts that are at least as unusual as this one, or None. See `model.mentions.Prediction`.
    typicality: float | None
    #: Whether the post has any of the views that the checkpoint reads.
    read: bool = True
    #: The user names in the text, in order. None is a mention. Empty with the convention `mention`.
    accounts: Sequence[Account] = ()


class Extractor:
    """A checkpoint's tokenizer and network. Thread-safe."""

    def __init__(self, tokenizer: TweetTokenizer, predictor: Predictor, accounts: Convention = "account") -> None:
        self.tokenizer = tokenizer
        self.predictor = predictor
        self.accounts = accounts

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        device: str = "auto",
        threads: int = 0,
        candidate_threshold: float | None = None,
        views: Sequence[str] | None = None,
        accounts: Convention = "account",
        runtime: RuntimeChoice = "torch",
    ) -> Self:
        """Loads a checkpoint folder. Raises `UserError`.

        `accounts`: what user names are. `runtime`: auto takes int8 if the CPU has VNNI (`model.runtime`). The other
        arguments are those of `model.predictor.load`.
        """
        folder = Path(path)
        predictor = load(
            folder,
            device=device,
            threads=threads,
            candidate_threshold=candidate_threshold,
            views=views,
            runtime=choose_here(runtime, describe(folder), device),
        )
        return cls(TweetTokenizer.load(folder), predictor, accounts)

    @property
    def info(self) -> CheckpointInfo:
        return self.predictor.info

    def extract(
        self,
        tweets: Sequence[Tweet],
        contexts: Sequence[str | None] | None = None,
        images: Sequence[Image | None] | None = None,
    ) -> list[list[Mention]]:
        """Returns the mentions of each post, in order.

        `contexts` replace the alternative texts of the posts' media. `images` are only read by a checkpoint with a view
        `image`. The first image loads the image encoder. Raises `UserError` when that fails.
        """
        return [extracted.mentions for extracted in self.extract_all(tweets, contexts, images)]

    def extract_all(
        self,
        tweets: Sequence[Tweet],
        contexts: Sequence[str | None] | None = None,
        images: Sequence[Image | None] | None = None,
    ) -> list[Extracted]:
        """Does what `extract` does, and returns candidates, typicality and accounts too."""
        if contexts is None:
            contexts = [visual_context(tweet) for tweet in tweets]
        if images is None:
            images = [None] * len(tweets)
        posts = list(zip(tweets, contexts, images, strict=True))
        accounts = [accounts_in(tweet.text) if self.accounts == "account" else () for tweet in tweets]
        encoded = [
            self.tokenizer.encode(tweet.text, context, own)
            for (tweet, context, _), own in zip(posts, accounts, strict=True)
        ]
        predictions = [Prediction()] * len(posts)
        for rows in batches([post.cost for post in encoded], BATCH_TOKENS):
            part = [self._with_pixels(encoded[row], posts[row][2]) for row in rows]
            for row, prediction in zip(rows, self.predictor.predict(part), strict=True):
                predictions[row] = prediction
        return [
            Extracted(
                list(mentions(tweet.text, prediction)),
                list(candidate_mentions(tweet.text, prediction)),
                prediction.typicality,
                prediction.read,
                own,
            )
            for tweet, prediction, own in zip(tweets, predictions, accounts, strict=True)
        ]

    def _with_pixels(self, encoded: Encoded, image: Image | None) -> Encoded:
        """Adds the image's pixels if the checkpoint reads images."""
        if self.info.vision is None or image is None:
            return encoded
        return replace(encoded, pixels=Pixels.of(image))
