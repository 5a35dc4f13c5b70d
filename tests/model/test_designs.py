"""Every design of the network trains and predicts, whatever the padding and the order."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model.batch import Batch, collate
from model.design import CONTEXT, IMAGE, LABELS, TEXT, Design
from model.evidence import NIG, fuse
from model.tagger import Tagger
from model.training.config import LossConfig, OptimisationConfig
from model.training.corpus import Example
from model.training.encoder import pretrained
from model.training.losses import alignment, distillation, log_marginals, loss, stacked
from model.training.train import Trainer, items, label_tensor, teacher_tensor
from tests.model.toys import bert, examples, save

WIDTH = 6
DESIGNS = [
    Design(),
    Design(views=(TEXT,)),
    Design(views=(CONTEXT,)),
    Design(views=(IMAGE,), image_width=WIDTH),
    Design(views=(TEXT, IMAGE), image_width=WIDTH),
    Design(views=(TEXT, CONTEXT, IMAGE), image_width=WIDTH),
    Design(discount=True),
    Design(views=(CONTEXT,), discount=True),
    Design(emission="location"),
    Design(evidence=False),
    Design(chain=False),
    Design(evidence=False, chain=False, casing=False),
    Design(adapt="lora", rank=2),
    Design(adapt="frozen"),
]
NAMES = [
    ", ".join(f"{name}={value}" for name, value in design.model_dump(exclude_defaults=True).items()) or "default"
    for design in DESIGNS
]


def with_images(number: int) -> list[Example]:
    """Every other post has a caption. Every third has image features, of one to three rows."""
    generator = np.random.default_rng(0)
    return [
        replace(post, image=generator.normal(size=(1 + index % 3, WIDTH)) if index % 3 == 0 else None)
        for index, post in enumerate(examples(number))
    ]


def training(folder: Path, design: Design, alignment: float = 0.0, matching: float = 0.0) -> Trainer:
    network, tokenizer = pretrained(str(save(folder, bert)), 0, design)
    optimisation = OptimisationConfig(epochs=2, encoder_rate=5e-3, head_rate=1e-2, batch_tokens=128)
    losses = LossConfig(alignment=alignment, matching=matching)
    return Trainer(network, items(with_images(24), tokenizer), tokenizer, optimisation, "cpu", losses)


def batch_of(trainer: Trainer, rows: slice) -> tuple[Batch, Tensor]:
    group = trainer.training[rows]
    batch = collate([item.encoded for item in group], trainer.tokenizer.config, trainer.network.design)
    return batch, label_tensor(group, batch)


@pytest.mark.parametrize("design", DESIGNS, ids=NAMES)
def test_a_design_trains_and_its_predictions_depend_on_neither_padding_nor_order(
    design: Design, tmp_path: Path
) -> None:
    trainer = training(tmp_path, design)
    losses: list[float] = []
    while not trainer.finished:
        trainer.run_epoch(lambda done, value: losses.append(value))
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]

    predictor = trainer.predictor()
    encoded = [item.encoded for item in trainer.training]
    alone = [predictor.predict([post])[0] for post in encoded]
    together = predictor.predict(encoded)
    reversed_order = predictor.predict(encoded[::-1])[::-1]
    for predictions in zip(alone, together, reversed_order, strict=True):
        assert len({tuple((s.start, s.end, s.type) for s in prediction.spans) for prediction in predictions}) == 1
        first, *others = ([(s.probability, s.aleatoric, s.epistemic) for s in each.spans] for each in predictions)
        assert all(np.allclose(first, other, rtol=1e-3, atol=2e-5) for other in others)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("design", DESIGNS, ids=NAMES)
def test_gradients_are_finite(design: Design, kind: torch.dtype, tmp_path: Path) -> None:
    trainer = training(tmp_path, design, alignment=1.0, matching=float(design.discount))
    batch, labels = batch_of(trainer, slice(12))
    with torch.autocast("cpu", kind, enabled=kind != torch.float32):
        temperatures, swapped = torch.full((12,), 2.0), torch.arange(12) % 3 == 0
        value = loss(trainer.network, batch, labels, trainer.losses, temperatures=temperatures, swapped=swapped)
    torch.autograd.backward(value)
    gradients = [p.grad for p in trainer.network.parameters() if p.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert sum(float(gradient.abs().sum()) for gradient in gradients) > 0


def network_and_batch(folder: Path) -> tuple[Tagger, Batch, list[NIG]]:
    trainer = training(folder, Design())
    trainer.network.eval()
    batch, _ = batch_of(trainer, slice(8))
    return trainer.network, batch, trainer.network(batch).beliefs


def test_alignment_is_the_divergence_of_token_marginals_and_trains_only_the_text_view(tmp_path: Path) -> None:
    network, batch, beliefs = network_and_batch(tmp_path)
    temperatures = torch.tensor([1.0, 2.0, 2.0, 4.0, 1.0, 4.0, 3.0, 2.0])
    value = alignment(network, beliefs, batch, temperatures)
    expected = []
    for row in batch.present[1].nonzero().flatten().tolist():
        at = temperatures[row].item()
        text, context = (log_marginals(network, belief, batch.words, at)[row].detach().double() for belief in beliefs)
        words = range(int(batch.words[row].sum()))
        expected += [at**2 * float((context[word].exp() * (context[word] - text[word])).sum()) for word in words]
    assert value.item() == pytest.approx(np.mean(expected), rel=1e-4)
    torch.autograd.backward(value)
    text_head, context_head = (network.get_parameter(f"heads.{name}.weight").grad for name in ("text", "text_context"))
    assert text_head is not None
    assert text_head.abs().sum() > 0
    assert context_head is None or context_head.abs().sum() == 0


def test_alignment_of_posts_without_context_is_zero(tmp_path: Path) -> None:
    network, _, _ = network_and_batch(tmp_path)
    trainer = training(tmp_path / "other", Design())
    group = [item for item in trainer.training if item.encoded.context is None]
    batch = collate([item.encoded for item in group], trainer.tokenizer.config, network.design)
    assert alignment(network, network(batch).beliefs, batch, torch.ones(len(group))).item() == 0


def test_each_data_set_has_its_own_alignment_temperature(tmp_path: Path) -> None:
    network, tokenizer = pretrained(str(save(tmp_path, bert)), 0, Design())
    some = [
        replace(each, data=data) for each, data in zip(examples(3), ("twitter2015", "twitter2017", ""), strict=True)
    ]
    losses = LossConfig(alignment=1.0, alignment_temperature=3.0, alignment_temperatures={"twitter2015": 4.0})
    trainer = Trainer(network, items(some, tokenizer), tokenizer, OptimisationConfig(), "cpu", losses)
    assert trainer.alignment_temperatures(trainer.training).tolist() == [4.0, 3.0, 3.0]


def test_distillation_is_zero_only_for_a_teacher_with_the_same_belief(tmp_path: Path) -> None:
    network, batch, beliefs = network_and_batch(tmp_path)
    text_only = replace(batch, present=batch.present & torch.tensor([[True], [False]]))
    stack = stacked(network, [*beliefs, beliefs[0]], text_only, no_labels(batch))
    own = log_marginals(network, beliefs[0], batch.words).exp().detach()
    assert distillation(stack, own).item() == pytest.approx(0, abs=1e-5)
    assert distillation(stack, torch.full_like(own, 1 / len(LABELS))).item() > 0.1


@pytest.mark.parametrize("design", DESIGNS, ids=NAMES)
def test_the_loss_is_a_mean_over_words_summed_over_views_and_the_fused_belief(design: Design, tmp_path: Path) -> None:
    trainer = training(tmp_path, design)
    network = trainer.network.eval()
    group = [replace(item, labels=()) if row % 3 == 0 else item for row, item in enumerate(trainer.training[:12])]
    group = [
        replace(item, unannotated=(LABELS.index("B-MISC"),)) if row > 8 else item for row, item in enumerate(group)
    ]
    batch = collate([item.encoded for item in group], trainer.tokenizer.config, design)
    labels = label_tensor(group, batch)
    torch.manual_seed(0)
    teacher = torch.softmax(torch.randn(labels.shape), -1)
    teacher[1] = torch.nan
    value = loss(network, batch, labels, LossConfig(density=0.3, regulariser=0.2, teacher=0.5), teacher)

    with torch.no_grad():
        beliefs, _, match_logit = network(batch)
        fused = fuse(beliefs, network.shares(batch, match_logit))
        expected = 0.0
        for belief, present in zip([*beliefs, fused], [*batch.present, batch.present.any(0)], strict=True):
            rows = present.nonzero().flatten().tolist()
            expected += mean([part for row in rows for part in label_losses(network, belief, batch, labels, row)])
            if design.evidence:
                evidence = [part for row in rows for part in evidence_losses(belief, labels, row)]
                expected += 0.3 * mean([density for density, _ in evidence])
                expected += 0.2 * mean([cost for _, cost in evidence])
            logs = log_marginals(network, belief, batch.words)
            words = [(row, word) for row in rows if row != 1 for word in range(int(batch.words[row].sum()))]
            expected += 0.5 * mean([float((teacher[at] * (teacher[at].log() - logs[at])).sum()) for at in words])
    assert value.item() == pytest.approx(expected, rel=1e-4)


def mean(values: list[float]) -> float:
    return sum(values) / max(1, len(values))


def label_losses(network: Tagger, belief: NIG, batch: Batch, labels: Tensor, row: int) -> list[float]:
    """Returns one loss per labelled word, an equal part of the post's. It sums over all allowed labellings."""
    words = int(batch.words[row].sum())
    if not labels[row, :words].any():
        return []
    emissions = network.emissions(belief)[row : row + 1, :words].float()
    real = torch.ones(1, words, dtype=torch.bool)
    likelihood = 0.0
    for path in itertools.product(*(labels[row, word].nonzero().flatten().tolist() for word in range(words))):
        if network.design.chain:
            only = torch.zeros(1, words, len(LABELS), dtype=torch.bool)
            only[0, range(words), path] = True
            log_likelihood = network.crf.marginals_and_likelihood(emissions, only, real)[1].item()
        else:
            log_likelihood = float(torch.log_softmax(emissions, -1)[0, range(words), path].sum())
        likelihood += math.exp(log_likelihood)
    return [-math.log(likelihood) / words] * words


def evidence_losses(belief: NIG, labels: Tensor, row: int) -> list[tuple[float, float]]:
    """Returns NIG log-density and cost of each word and label that the annotation decides."""
    losses = []
    for word, label in itertools.product(range(labels.shape[1]), range(len(LABELS))):
        may = labels[row, word]
        if may.any() and (not may[label] or may.sum() == 1):
            single = NIG(*(value[row, word, label] for value in belief))
            indicator = may[label].float()
            losses.append((-single.log_density(indicator).item(), single.regulariser(indicator).item()))
    return losses


@pytest.mark.parametrize("design", DESIGNS, ids=NAMES)
def test_the_loss_of_a_single_post_is_finite(design: Design, tmp_path: Path) -> None:
    trainer = training(tmp_path, design)
    for row in range(12):
        batch, labels = batch_of(trainer, slice(row, row + 1))
        teacher = torch.full(labels.shape, 1 / len(LABELS))
        value = loss(trainer.network, batch, labels, LossConfig(teacher=1.0), teacher)
        assert value.isfinite()
        assert value.requires_grad == bool(batch.present.any()), "a post without views teaches nothing"


def test_words_may_have_labels_of_types_that_were_not_annotated(tmp_path: Path) -> None:
    network, tokenizer = pretrained(str(save(tmp_path, bert)), 0, Design())
    told = Example("1", ("ann", "in"), ("B-PER", "O"), unannotated=frozenset({"MISC"}))
    group = items([told, replace(told, tags=()), Example("2", ("a",) * 3, ("B-LOC", "I-LOC", "O"))], tokenizer)
    batch = collate([item.encoded for item in group], tokenizer.config, network.design)
    names = [[[LABELS[k] for k in word.nonzero().flatten()] for word in row] for row in label_tensor(group, batch)]
    assert names == [
        [["B-PER"], ["O", "B-MISC", "I-MISC"], []],
        [[], [], []],
        [["B-LOC"], ["I-LOC"], ["O"]],
    ]


def no_labels(batch: Batch) -> Tensor:
    return torch.zeros(*batch.words.shape, len(LABELS), dtype=torch.bool)


@pytest.mark.parametrize("design", [Design(), Design(chain=False)], ids=["chain", "no chain"])
def test_a_type_that_was_not_annotated_costs_nothing(design: Design, tmp_path: Path) -> None:
    network, tokenizer = pretrained(str(save(tmp_path, bert)), 0, design)
    network.eval()
    posts = [replace(post, tags=("O",) * len(post.words)) for post in examples(4)]
    values = []
    for unannotated, shift in itertools.product((frozenset[str](), frozenset({"MISC"})), (0.0, 4.0)):
        with torch.no_grad():  # raises the score of B-MISC
            for view in ("text", "text_context"):
                bias = network.get_parameter(f"heads.{view}.bias")
                bias.view(len(LABELS), 4)[LABELS.index("B-MISC"), 0] = shift
        group = items([replace(post, unannotated=unannotated) for post in posts], tokenizer)
        batch = collate([item.encoded for item in group], tokenizer.config, network.design)
        weights = LossConfig(density=1.0, regulariser=1.0)
        values.append(loss(network, batch, label_tensor(group, batch), weights).item())
    marked, marked_shifted, unmarked, unmarked_shifted = values
    assert marked_shifted > marked
    assert unmarked_shifted < unmarked


def test_posts_without_labels_are_learned_from_the_teacher(tmp_path: Path) -> None:
    network, tokenizer = pretrained(str(save(tmp_path, bert)), 0, Design())
    posts = [replace(post, tags=()) for post in examples(8)]
    believed = [{word: np.eye(len(LABELS))[0] for word in range(len(post.words))} for post in posts]
    believed[0] = {}
    group = items(posts, tokenizer, believed)
    batch = collate([item.encoded for item in group], tokenizer.config, network.design)
    labels, teacher = label_tensor(group, batch), teacher_tensor(group, batch)
    assert loss(network, batch, labels, LossConfig(teacher=0.0), teacher).item() == 0
    assert teacher is not None
    assert teacher[0].isnan().all()
    value = loss(network, batch, labels, LossConfig(teacher=1.0), teacher)
    assert value.item() > 0
    torch.autograd.backward(value)
