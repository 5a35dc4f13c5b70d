"""Evidence that falls where the context is another tweet's: `--matching`."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.batch import collate
from model.corpus import Example
from model.design import CONTEXT, Design
from model.encoder import pretrained
from model.losses import alignment, matching
from model.tokens import TweetTokenizer
from model.train import Item, TrainConfig, Trainer, exchanged, items
from streams.cli import train as train_command
from streams.errors import UserError
from tests.model.corpora import write
from tests.model.toys import bert, examples, save

CAPTIONS = {"ann": "portrait", "bob": "a city", "carl": "rome in a portrait", "dora": "city"}
"""What the picture shows hangs on who is named."""


def told(number: int) -> list[Example]:
    return [replace(one, caption=CAPTIONS[one.words[0]]) for one in examples(number)]


def prepared(
    folder: Path, design: Design | None = None, number: int = 64, foreign: float = 0.5
) -> tuple[Trainer, TweetTokenizer]:
    network, tokenizer = pretrained(str(save(folder, bert)), 0, Design(discount=True))
    config = TrainConfig(
        epochs=8,
        encoder_rate=5e-3,
        head_rate=1e-2,
        batch_tokens=256,
        drop_context=0.0,
        alignment=0.1,
        matching=1.0,
        foreign=foreign,
    )
    return Trainer(network, items(told(number), tokenizer), tokenizer, config, "cpu"), tokenizer


def context_nu(trainer: Trainer, some: list[Item]) -> float:
    trainer.network.eval()
    batch = collate([item.encoded for item in some], trainer.tokenizer.config, trainer.network.design)
    with torch.inference_mode():
        return float(trainer.network(batch).beliefs[1].nu[batch.words].mean())


def test_the_loss_is_that_of_the_odds_that_the_context_is_the_tweets_own() -> None:
    odds = torch.tensor([3.0, 0.25, 1.0])
    found = matching(odds.log(), torch.tensor([False, True, False]))
    assert found.item() == pytest.approx((math.log(1 + 1 / 3) + math.log(1 + 0.25) + math.log(2)) / 3, rel=1e-5)
    assert matching(odds[:0], torch.zeros(0, dtype=torch.bool)).item() == 0


def test_the_odds_discount_the_evidence_of_their_own_tweet_alone(tmp_path: Path) -> None:
    trainer, tokenizer = prepared(tmp_path)
    network = trainer.network.eval()
    some = [tokenizer.encode("ann visits rome", context) for context in ("portrait", None, "a city")]
    batch = collate(some, tokenizer.config, network.design)
    found = network(batch)
    assert found.own.shape == (2,)
    network.belonging.slope.data.zero_()
    network.belonging.shift.data.fill_(40.0)
    relied = network(batch)
    assert torch.allclose(found.beliefs[1].nu[0], relied.beliefs[1].nu[0] * torch.sigmoid(found.own[0]))
    assert torch.allclose(found.beliefs[1].nu[2], relied.beliefs[1].nu[2] * torch.sigmoid(found.own[1]))
    for mine, relied_on in zip(found.beliefs[1][0::2], relied.beliefs[1][0::2], strict=True):
        assert torch.equal(mine, relied_on), "what the evidence says is the same"
    assert torch.equal(found.beliefs[0].nu, relied.beliefs[0].nu)


def test_how_alike_text_and_context_are_hangs_on_no_padding(tmp_path: Path) -> None:
    trainer, tokenizer = prepared(tmp_path)
    network = trainer.network.eval()
    short, long = (tokenizer.encode(f"ann visits rome{' a' * number}", "a city") for number in (0, 20))
    alone, both = (network(collate(some, tokenizer.config, network.design)).own for some in ([short], [short, long]))
    assert both[0].item() == pytest.approx(alone[0].item(), rel=1e-4)


def test_some_contexts_are_exchanged_and_known_to_be(tmp_path: Path) -> None:
    trainer, _ = prepared(tmp_path)
    own = [
        replace(item, encoded=replace(item.encoded, context=None)) if row < 8 else item
        for row, item in enumerate(trainer.training)
    ]
    found = exchanged(own, 0.5, random.Random(0))
    assert [one.foreign for one in found] == [
        one.encoded.context != item.encoded.context for one, item in zip(found, own, strict=True)
    ]
    assert all(one is item for one, item in zip(found[:8], own[:8], strict=True))
    assert 8 <= sum(one.foreign for one in found) <= 36  # half of 56, of which a fourth draw a caption like their own
    assert [replace(one.encoded, context=None) for one in found] == [replace(i.encoded, context=None) for i in own]
    assert not any(one.foreign for one in exchanged(own, 0.0, random.Random(0)))


def test_a_foreign_context_does_not_teach_the_text(tmp_path: Path) -> None:
    trainer, _ = prepared(tmp_path, number=6)
    network = trainer.network.eval()
    batch = collate([item.encoded for item in trainer.training], trainer.tokenizer.config, network.design)
    beliefs, at = network(batch).beliefs, torch.ones(6)
    some = torch.tensor([True, True, False, False, True, False])
    kept = replace(batch, present=batch.present & torch.stack([torch.ones(6, dtype=torch.bool), ~some]))
    assert alignment(network, beliefs, batch, at, some).item() == alignment(network, beliefs, kept, at).item() > 0
    assert alignment(network, beliefs, batch, at, torch.ones(6, dtype=torch.bool)).item() == 0


def test_training_lets_the_evidence_of_foreign_contexts_fall(tmp_path: Path) -> None:
    """Foreign ones are of other words here: to tell them by the tweet takes an encoder that can read."""
    trainer, tokenizer = prepared(tmp_path, foreign=0.0)
    own, foreign = (
        items([replace(one, caption=caption) for one in examples(32)], tokenizer) for caption in ("a city", "portrait")
    )
    trainer.training = [*own, *(replace(item, foreign=True) for item in foreign)]
    before = context_nu(trainer, own) / context_nu(trainer, foreign)
    while not trainer.finished:
        trainer.run_epoch(lambda done, value: None)
    assert context_nu(trainer, own) / context_nu(trainer, foreign) > 3 * before


@pytest.mark.parametrize("options", [{"views": "text"}, {"evidence": False}], ids=["no context", "no evidence"])
def test_there_must_be_an_evidence_to_fall(options: dict[str, object], tmp_path: Path) -> None:
    data = write(tmp_path / "toy2017")
    encoder = save(tmp_path / "encoder", bert)
    given = {"data": data, "encoder": str(encoder), "out": tmp_path / "out", "matching": 0.5} | options
    with pytest.raises(UserError, match=rf"--matching 0\.5: wanted a view {CONTEXT.replace('+', '.')} and evidence"):
        train_command.command(**given)
