"""The extract agent finds accounts, or leaves user names to the model, as the setting says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from core.events import Extraction, Tweet
from model.accounts import Convention
from model.mentions import Prediction
from model.tokens import Encoded, TweetTokenizer
from streams.pipeline.infer import Infer
from streams.pipeline.item import Origin, TweetItem
from streams.pipeline.tokenise import Tokenise
from streams.settings import CHECKPOINT, Batching, Settings

TEXT = "@realDonaldTrump met Angela Merkel"


class Model:
    """Notes what it reads, and finds nothing."""

    def __init__(self) -> None:
        self.read: list[Encoded] = []

    async def infer(self, batch: Sequence[Encoded]) -> list[Prediction]:
        self.read += batch
        return [Prediction() for _ in batch]


class Info:
    name, model_version, runtime = "stub", 1, "torch"


async def extracted(convention: Convention, text: str) -> tuple[Extraction, list[Encoded]]:
    model: Any = Model()
    info: Any = Info()
    item = TweetItem(Origin("tweets", 0, 0, None, b"{}", 0.0), parsed=Tweet(id="1", text=text))
    await Tokenise(TweetTokenizer.load(CHECKPOINT), convention).process(item)
    await Infer(model, info, 0.9, 0.2, Batching()).process([item])
    assert item.extraction is not None
    return item.extraction, model.read


async def test_an_extraction_has_the_accounts_and_the_model_knows_their_words() -> None:
    found, (read,) = await extracted("account", TEXT)
    assert [(TEXT[each.start : each.end], each.name) for each in found.accounts] == [
        ("@realDonaldTrump", "realdonaldtrump")
    ]
    assert read.in_account == (True, False, False, False)


async def test_with_the_other_convention_nothing_changes() -> None:
    found, (read,) = await extracted("mention", TEXT)
    assert (found.accounts, read.in_account) == ((), ())
    assert "accounts" not in found.model_dump_json()


@pytest.mark.parametrize("convention", ["account", "mention"])
async def test_a_post_without_words_has_no_accounts(convention: Convention) -> None:
    found, read = await extracted(convention, "  ")
    assert (found.accounts, read) == ((), [])


def test_user_names_are_accounts_unless_the_setting_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().accounts == "account"
    monkeypatch.setenv("MNER_ACCOUNTS", "mention")
    assert Settings().accounts == "mention"
