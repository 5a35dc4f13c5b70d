"""Evidence that counts less where the context is another tweet's: `--matching`."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cli.training import train as train_command
from core.errors import UserError
from core.events import Tweet
from model.batch import collate
from model.checkpoint import describe
from model.design import Design
from model.evidence import fuse
from model.extractor import Extractor
from model.tokens import TweetTokenizer
from model.training.corpus import Example
from model.training.encoder import pretrained
from model.training.losses import LossWeights, alignment, loss, matching
from model.training.train import Item, TrainConfig, Trainer, exchanged, items, label_tensor
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
        foreign_share=foreign,
    )
    return Trainer(network, items(told(number), tokenizer), tokenizer, config, "cpu"), tokenizer


def share(trainer: Trainer, some: list[Item]) -> float:
    trainer.network.eval()
    batch = collate([item.encoded for item in some], trainer.tokenizer.config, trainer.network.design)
    with torch.inference_mode():
        return float(trainer.network.shares(batch, trainer.network(batch).own)[1].mean())


def test_the_loss_is_that_of_the_odds_that_the_context_is_the_tweets_own() -> None:
    odds = torch.tensor([3.0, 0.25, 1.0])
    found = matching(odds.log(), torch.tensor([False, True, False]))
    assert found.item() == pytest.approx((math.log(1 + 1 / 3) + math.log(1 + 0.25) + math.log(2)) / 3, rel=1e-5)
    assert matching(odds[:0], torch.zeros(0, dtype=torch.bool)).item() == 0


def test_the_odds_discount_the_contexts_evidence_in_the_fusion(tmp_path: Path) -> None:
    trainer, tokenizer = prepared(tmp_path)
    network = trainer.network.eval()
    some = [tokenizer.encode("ann visits rome", context) for context in ("portrait", None, "a city")]
    batch = collate(some, tokenizer.config, network.design)
    beliefs, _, own = network(batch)
    assert own.shape == (2,)
    likely = torch.sigmoid(own)
    shares = network.shares(batch, own)
    assert torch.allclose(shares, torch.tensor([[1.0, 1.0, 1.0], [likely[0], 0.0, likely[1]]]))
    together = fuse(beliefs, shares)
    wanted = beliefs[0].nu[2] + likely[1] * beliefs[1].nu[2]
    assert torch.allclose(together.nu[2], wanted)
    alone = replace(batch, present=torch.tensor([[False] * 3, [True, False, True]]))
    assert network.shares(alone, own).tolist() == [[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]], "there is nothing else to rely on"
    network.belonging.middle.data.fill_(1e6)
    nothing = fuse(beliefs, network.shares(batch, network(batch).own))
    for found, text in zip(nothing, beliefs[0], strict=True):
        assert torch.allclose(found, text), "as if there were no context"


def test_a_reader_of_the_checkpoint_sees_the_discount(tmp_path: Path) -> None:
    trainer, tokenizer = prepared(tmp_path)
    trainer.network.belonging.middle.data.fill_(1e6)
    tweet = tokenizer.encode("ann visits rome", "portrait")
    without = trainer.predictor().predict([tweet])[0].spans
    trainer.network.belonging.middle.data.fill_(-1e6)
    relied = trainer.predictor().predict([tweet])[0].spans
    assert {span.views["text+context"].share for span in without} == {0}
    assert min(span.views["text+context"].share for span in relied) > 0.1


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


def test_every_epoch_exchanges_others(tmp_path: Path) -> None:
    trainer, _ = prepared(tmp_path)
    seen = [
        [
            (item.encoded.text, item.encoded.context)
            for batch in trainer._batches(epoch)
            for item in batch
            if item.foreign
        ]
        for epoch in (0, 0, 1)
    ]
    assert 8 <= len(seen[0]) <= 40
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize(
    "weights", [LossWeights(alignment=1.0), LossWeights(matching=1.0)], ids=["alignment", "matching"]
)
def test_the_loss_knows_whose_context_is_foreign(weights: LossWeights, tmp_path: Path) -> None:
    trainer, tokenizer = prepared(tmp_path, number=6)
    network = trainer.network.eval()
    batch = collate([item.encoded for item in trainer.training], tokenizer.config, network.design)
    labels = label_tensor(trainer.training, batch)
    found = [
        loss(network, batch, labels, weights, None, torch.ones(6), torch.full((6,), foreign)).item()
        for foreign in (False, True)
    ]
    assert abs(found[0] - found[1]) > 1e-3


def test_training_lets_the_share_of_foreign_contexts_fall(tmp_path: Path) -> None:
    """LenientModel ones are of other words here: to tell them by the tweet takes an encoder that can read."""
    trainer, tokenizer = prepared(tmp_path, foreign=0.0)
    own, foreign = (
        items([replace(one, caption=caption) for one in examples(32)], tokenizer) for caption in ("a city", "portrait")
    )
    trainer.training = [*own, *(replace(item, foreign=True) for item in foreign)]
    while not trainer.finished:
        trainer.run_epoch(lambda done, value: None)
    assert share(trainer, own) > 0.9
    assert share(trainer, foreign) < 0.1


def test_a_checkpoint_that_matches_is_trained_written_and_read(tmp_path: Path) -> None:
    data, encoder, out = write(tmp_path / "toy2017"), save(tmp_path / "encoder", bert), tmp_path / "out"
    lines = [json.loads(line) for line in (tmp_path / "captions.jsonl").read_text(encoding="utf-8").splitlines()]
    told = [line | {"caption": ("a city", "portrait")[number % 2]} for number, line in enumerate(lines)]
    captions = tmp_path / "told.jsonl"
    captions.write_text("\n".join(map(json.dumps, told)), encoding="utf-8")
    train_command.command(data=data, captions=captions, encoder=str(encoder), out=out, epochs=2, matching=0.5)
    info = describe(out)
    assert info.design.discount
    assert "matching=0.5, foreign_share=0.25" in str(info.provenance["options"])
    tweet = Tweet(id="1", text="ann visits rome")
    whole, bare = Extractor.load(out), Extractor.load(out, views=["text"])
    assert not bare.info.design.discount
    assert whole.extract([tweet], [None]) == bare.extract([tweet], ["portrait"])
    assert Extractor.load(out, views=["text+context"]).info.design.discount


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        pytest.param({"views": "text"}, "wanted a view text.context and evidence", id="no context"),
        pytest.param({"evidence": False}, "wanted a view text.context and evidence", id="no evidence"),
        pytest.param({"drop_context": 1.0}, "wanted a --drop-context below 1", id="all captions dropped"),
        pytest.param({}, "wanted --captions, with two different ones", id="no captions"),
    ],
)
def test_there_must_be_captions_to_match_and_evidence_to_discount(
    options: dict[str, Any], wanted: str, tmp_path: Path
) -> None:
    data, encoder = write(tmp_path / "toy2017"), save(tmp_path / "encoder", bert)
    given = {"data": data, "encoder": str(encoder), "out": tmp_path / "out", "matching": 0.5} | options
    with pytest.raises(UserError, match=rf"--matching.*: {wanted}"):
        train_command.command(**given)
