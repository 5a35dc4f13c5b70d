"""Finds accounts, and turns text and context into token ids, in this process, while the model works in its own."""

from __future__ import annotations

from dataclasses import replace

from model.accounts import Convention, accounts_in
from model.tokens import Tokenizes
from streams.pipeline.item import TweetItem
from streams.pipeline.stage import Stage


class Tokenise(Stage[TweetItem]):
    name = "tokenise"

    def __init__(self, tokenizer: Tokenizes, accounts: Convention = "account") -> None:
        """`accounts`: what user names are."""
        self._tokenizer = tokenizer
        self._accounts = accounts

    async def process(self, item: TweetItem) -> None:
        if not item.event.has_words:
            item.pixels = None
            return
        item.accounts = accounts_in(item.event.text) if self._accounts == "account" else ()
        encoded = self._tokenizer.encode(item.event.text, item.context, item.accounts)
        item.encoded, item.pixels = replace(encoded, pixels=item.pixels), None
