"""The CRF against a sum over all paths."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from model.crf import CRF
from model.decode import is_begin

LABELS = 5


def crf(seed: int = 0) -> CRF:
    torch.manual_seed(seed)
    model = CRF(LABELS)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


def batch(lengths: list[int], seed: int = 1) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    words = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    return torch.randn(len(lengths), max(lengths), LABELS) * 2, words


def legal(path: tuple[int, ...]) -> bool:
    before = (0, *path)
    return all(label == 0 or is_begin(label) or before[i] in (label, label - 1) for i, label in enumerate(path))


def paths(model: CRF, scores: Tensor, temperature: float = 1.0) -> dict[tuple[int, ...], float]:
    """Returns the probability of every legal path over one post's words."""
    weights = {}
    for path in filter(legal, itertools.product(range(LABELS), repeat=len(scores))):
        score = model.begin[path[0]] + model.end[path[-1]] + sum(scores[i, label] for i, label in enumerate(path))
        score = score + sum(model.transitions[a, b] for a, b in itertools.pairwise(path))
        weights[path] = math.exp(score.item() / temperature)
    total = sum(weights.values())
    return {path: weight / total for path, weight in weights.items()}


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_marginals_equal_sums_over_all_paths(temperature: float) -> None:
    model, (scores, words) = crf(), batch([4, 1, 3])
    marginals = model.log_marginals(scores, words, temperature).exp()
    for row, length in enumerate([4, 1, 3]):
        every = paths(model, scores[row, :length], temperature)
        for word, label in itertools.product(range(length), range(LABELS)):
            expected = sum(probability for path, probability in every.items() if path[word] == label)
            assert marginals[row, word, label].item() == pytest.approx(expected, abs=1e-5)


def test_each_post_may_have_its_own_temperature() -> None:
    model, (scores, words) = crf(), batch([4, 1, 3])
    temperatures = [1.0, 4.0, 2.5]
    mixed = model.forward_backward(scores, words, torch.tensor(temperatures))
    for row, temperature in enumerate(temperatures):
        for alone, together in zip(model.forward_backward(scores, words, temperature), mixed, strict=True):
            torch.testing.assert_close(together[row], alone[row])


def test_likelihood_and_best_labelling_agree_with_all_paths() -> None:
    model, (scores, words) = crf(), batch([4, 1, 3])
    best = model.best(scores, words)
    for row, length in enumerate([4, 1, 3]):
        every = paths(model, scores[row, :length])
        assert tuple(best[row]) == max(every, key=lambda path: every[path])
        for path, probability in every.items():
            labels = torch.zeros(3, 4, LABELS, dtype=torch.bool)
            labels[row, range(length), path] = True
            marginals, likelihood = model.marginals_and_likelihood(scores, labels, words)
            assert likelihood[row].exp().item() == pytest.approx(probability, abs=1e-5)
        torch.testing.assert_close(marginals, model.log_marginals(scores, words))


def test_the_likelihood_of_a_partial_labelling_is_the_sum_over_the_allowed_paths() -> None:
    model, (scores, words) = crf(), batch([4, 1, 3])
    torch.manual_seed(2)
    labels = torch.rand(3, 4, LABELS) < 0.5
    labels[..., 0] = True
    _, likelihood = model.marginals_and_likelihood(scores, labels, words)
    for row, length in enumerate([4, 1, 3]):
        every = paths(model, scores[row, :length])
        allowed = [p for path, p in every.items() if all(labels[row, word, label] for word, label in enumerate(path))]
        assert 0 < len(allowed) < len(every)
        assert likelihood[row].exp().item() == pytest.approx(sum(allowed), abs=1e-5)


def test_padding_and_other_posts_change_nothing() -> None:
    model, (scores, words) = crf(), batch([2, 6])
    alone = model.log_marginals(scores[:1, :2], words[:1, :2])
    assert torch.allclose(model.log_marginals(scores, words)[:1, :2], alone, atol=1e-5)
    assert model.best(scores, words)[0] == model.best(scores[:1, :2], words[:1, :2])[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_finite_even_for_huge_scores(dtype: torch.dtype) -> None:
    model, (scores, words) = crf(), batch([5, 0, 3])
    scores = (scores * 1000).to(dtype).requires_grad_()
    outside = torch.arange(LABELS).expand(3, 5, LABELS) == 0
    marginals, likelihood = model.marginals_and_likelihood(scores, outside, words)
    loss = -likelihood.sum() - marginals[words].sum() - model.log_marginals(scores, words, 2.0)[words].sum()
    torch.autograd.backward(loss)
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


def test_the_best_labelling_is_legal_and_a_post_without_words_has_an_empty_one() -> None:
    model, (scores, words) = crf(), batch([5, 0, 3])
    scores[:, :, 2::2] += 10
    labellings = model.best(scores, words)
    assert [len(row) for row in labellings] == [5, 0, 3]
    assert all(legal(tuple(row)) for row in labellings)
    assert model.marginals_and_likelihood(scores, torch.ones(3, 5, LABELS, dtype=torch.bool), words)[1][1] == 0
