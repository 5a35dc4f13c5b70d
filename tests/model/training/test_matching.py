"""Matching: the context's evidence counts less when the caption belongs to another post."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.errors import UserError
from core.events import Tweet
from model.batch import collate
from model.checkpoint import describe
from model.design import Design
from model.evidence import fuse
from model.extractor import Extractor
from model.tokens import TweetTokenizer
from model.training.config import LossConfig, OptimisationConfig
from model.training.corpus import Example
from model.training.encoder import pretrained
from model.training.losses import alignment, loss, matching
from model.training.train import Item, Trainer, items, label_tensor, with_swapped_contexts
from tests.model.corpora import write
from tests.model.toys import bert, examples, save
from tests.model.training.runs import train

CAPTIONS = {"ann": "portrait", "bob": "a city", "carl": "rome in a portrait", "dora": "city"}
"""The caption depends on the person who is named."""


def captioned(number: int) -> list[Example]:
    return [replace(example, caption=CAPTIONS[example.words[0]]) for example in examples(number)]


def prepared(folder: Path, number: int = 64, swapped: float = 0.5) -> tuple[Trainer, TweetTokenizer]:
    network, tokenizer = pretrained(str(save(folder, bert)), 0, Design(discount=True))
    optimisation = OptimisationConfig(epochs=8, encoder_rate=5e-3, head_rate=1e-2, batch_tokens=256, drop_context=0.0)
    losses = LossConfig(alignment=0.1, matching=1.0, swapped_share=swapped)
    learned = items(captioned(number), tokenizer)
    return Trainer(network, learned, tokenizer, optimisation, "cpu", losses), tokenizer


def share(trainer: Trainer, learned: list[Item]) -> float:
    trainer.network.eval()
    batch = collate([item.encoded for item in learned], trainer.tokenizer.config, trainer.network.design)
    with torch.inference_mode():
        return float(trainer.network.shares(batch, trainer.network(batch).match_logit)[1].mean())


def test_the_loss_is_the_log_loss_of_the_odds_that_the_context_belongs_to_the_post() -> None:
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
    likely = torch.sigmoid(own).detach()
    shares = network.shares(batch, own)
    assert torch.allclose(shares, torch.tensor([[1.0, 1.0, 1.0], [likely[0], 0.0, likely[1]]]))
    together = fuse(beliefs, shares)
    wanted = beliefs[0].nu[2] + likely[1] * beliefs[1].nu[2]
    assert torch.allclose(together.nu[2], wanted)
    alone = replace(batch, present=torch.tensor([[False] * 3, [True, False, True]]))
    assert network.shares(alone, own).tolist() == [[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]], "there is nothing else to rely on"
    network.get_parameter("matching.middle").data.fill_(1e6)
    nothing = fuse(beliefs, network.shares(batch, network(batch).match_logit))
    for found, text in zip(nothing, beliefs[0], strict=True):
        assert torch.allclose(found, text), "as if there were no context"


def test_the_view_shares_of_a_prediction_show_the_discount(tmp_path: Path) -> None:
    trainer, tokenizer = prepared(tmp_path)
    trainer.network.get_parameter("matching.middle").data.fill_(1e6)
    tweet = tokenizer.encode("ann visits rome", "portrait")
    without = trainer.predictor().predict([tweet])[0].spans
    trainer.network.get_parameter("matching.middle").data.fill_(-1e6)
    relied = trainer.predictor().predict([tweet])[0].spans
    assert {span.views["text+context"].share for span in without} == {0}
    assert min(span.views["text+context"].share for span in relied) > 0.1


def test_the_similarity_of_text_and_context_does_not_depend_on_padding(tmp_path: Path) -> None:
    trainer, tokenizer = prepared(tmp_path)
    network = trainer.network.eval()
    short, long = (tokenizer.encode(f"ann visits rome{' a' * number}", "a city") for number in (0, 20))
    alone, both = (
        network(collate(some, tokenizer.config, network.design)).match_logit for some in ([short], [short, long])
    )
    assert both[0].item() == pytest.approx(alone[0].item(), rel=1e-4)


def test_a_share_of_the_contexts_is_swapped_and_marked(tmp_path: Path) -> None:
    trainer, _ = prepared(tmp_path)
    own = [
        replace(item, encoded=replace(item.encoded, context=None)) if row < 8 else item
        for row, item in enumerate(trainer.training)
    ]
    found = with_swapped_contexts(own, 0.5, random.Random(0))
    assert [each.swapped for each in found] == [
        each.encoded.context != item.encoded.context for each, item in zip(found, own, strict=True)
    ]
    assert all(each is item for each, item in zip(found[:8], own[:8], strict=True))
    assert 8 <= sum(each.swapped for each in found) <= 36  # half of 56, of which a fourth draw a caption like their own
    assert [replace(each.encoded, context=None) for each in found] == [replace(i.encoded, context=None) for i in own]
    assert not any(each.swapped for each in with_swapped_contexts(own, 0.0, random.Random(0)))


def test_a_swapped_context_does_not_teach_the_text(tmp_path: Path) -> None:
    trainer, _ = prepared(tmp_path, number=6)
    network = trainer.network.eval()
    batch = collate([item.encoded for item in trainer.training], trainer.tokenizer.config, network.design)
    beliefs, at = network(batch).beliefs, torch.ones(6)
    some = torch.tensor([True, True, False, False, True, False])
    kept = replace(batch, present=batch.present & torch.stack([torch.ones(6, dtype=torch.bool), ~some]))
    assert alignment(network, beliefs, batch, at, some).item() == alignment(network, beliefs, kept, at).item() > 0
    assert alignment(network, beliefs, batch, at, torch.ones(6, dtype=torch.bool)).item() == 0


def test_every_epoch_exchanges_other_contexts(tmp_path: Path) -> None:
    trainer, _ = prepared(tmp_path)
    seen = [
        [
            (item.encoded.text, item.encoded.context)
            for batch in trainer.epoch_batches(epoch)
            for item in batch
            if item.swapped
        ]
        for epoch in (0, 0, 1)
    ]
    assert 8 <= len(seen[0]) <= 40
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize(
    "weights", [LossConfig(alignment=1.0), LossConfig(matching=1.0)], ids=["alignment", "matching"]
)
def test_the_loss_depends_on_which_contexts_are_swapped(weights: LossConfig, tmp_path: Path) -> None:
    trainer, tokenizer = prepared(tmp_path, number=6)
    network = trainer.network.eval()
    batch = collate([item.encoded for item in trainer.training], tokenizer.config, network.design)
    labels = label_tensor(trainer.training, batch)
    found = [
        loss(network, batch, labels, weights, None, torch.ones(6), torch.full((6,), swapped)).item()
        for swapped in (False, True)
    ]
    assert abs(found[0] - found[1]) > 1e-3


def test_training_lets_the_share_of_swapped_contexts_fall(tmp_path: Path) -> None:
    """Foreign contexts have other words here, since a toy encoder cannot compare a caption with a text."""
    trainer, tokenizer = prepared(tmp_path, swapped=0.0)
    own, swapped = (
        items([replace(each, caption=caption) for each in examples(32)], tokenizer)
        for caption in ("a city", "portrait")
    )
    trainer.training = [*own, *(replace(item, swapped=True) for item in swapped)]
    while not trainer.finished:
        trainer.run_epoch(lambda done, value: None)
    assert share(trainer, own) > 0.9
    assert share(trainer, swapped) < 0.1


def test_a_checkpoint_that_matches_is_trained_written_and_read(tmp_path: Path) -> None:
    data, encoder, out = write(tmp_path / "toy2017"), save(tmp_path / "encoder", bert), tmp_path / "out"
    lines = [json.loads(line) for line in (tmp_path / "captions.jsonl").read_text(encoding="utf-8").splitlines()]
    different = [line | {"caption": ("a city", "portrait")[number % 2]} for number, line in enumerate(lines)]
    captions = tmp_path / "different.jsonl"
    captions.write_text("\n".join(map(json.dumps, different)), encoding="utf-8")
    train(
        out,
        data,
        {"data.captions": captions, "encoder": encoder, "optimisation.epochs": 2, "losses.matching": 0.5},
    )
    info = describe(out)
    assert info.design.discount
    assert "matching=0.5 swapped_share=0.25" in str(info.provenance["options"])
    tweet = Tweet(id="1", text="ann visits rome")
    whole, bare = Extractor.load(out), Extractor.load(out, views=["text"])
    assert not bare.info.design.discount
    assert whole.extract([tweet], [None]) == bare.extract([tweet], ["portrait"])
    assert Extractor.load(out, views=["text+context"]).info.design.discount


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"design.views": ["text"]}, r"needs design.evidence and the view text\+context", id="no context"),
        pytest.param({"design.evidence": False}, r"needs design.evidence and the view text\+context", id="no evidence"),
        pytest.param(
            {"optimisation.drop_context": 1.0}, "set optimisation.drop_context below 1", id="all captions dropped"
        ),
        pytest.param({}, "needs data.captions with at least two different captions", id="no captions"),
    ],
)
def test_matching_needs_captions_and_evidence(options: dict[str, object], message: str, tmp_path: Path) -> None:
    data, encoder = write(tmp_path / "toy2017"), save(tmp_path / "encoder", bert)
    with pytest.raises(UserError, match=rf"losses.matching.*: .*{message}"):
        train(tmp_path / "out", data, {"encoder": encoder, "losses.matching": 0.5} | options)
