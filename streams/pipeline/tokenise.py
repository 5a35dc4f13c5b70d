"""Turns text and context into token ids, in this process, while the model works in its own."""

from __future__ import annotations

from dataclasses import replace

from model.tokens import TweetTokenizer
from streams.pipeline.item import TweetItem
from streams.pipeline.stage import Stage


class Tokenise(Stage[TweetItem]):
    name = "tokenise"

    def __init__(self, tokenizer: TweetTokenizer) -> None:
        self._tokenizer = tokenizer

    async def process(self, item: TweetItem) -> None:
        if not item.event.has_words:
            item.pixels = None
            return
        encoded = self._tokenizer.encode(item.event.text, item.context)
        item.encoded, item.pixels = replace(encoded, pixels=item.pixels), None
