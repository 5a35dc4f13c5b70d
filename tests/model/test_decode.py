"""Spans and their probabilities, against every labelling written out."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from model.crf import CRF
from model.decode import Path, WordSpan, spans
from model.design import LABELS
from tests.model.test_crf import batch, crf, paths


def path_of(model: CRF, scores: torch.Tensor, words: torch.Tensor) -> Path:
    with torch.inference_mode():
        chain = model.chain(scores, words)
        transitions, _, end = model.training.scores(1.0)
    return Path(
        scores[0].numpy(),
        transitions.numpy(),
        end.numpy(),
        chain.ahead[0].numpy(),
        chain.behind[0].numpy(),
        float(chain.total[0]),
    )


def test_spans_of_a_labelling_include_neighbours_of_one_type() -> None:
    labelling = [LABELS.index(tag) for tag in ("B-PER", "I-PER", "B-PER", "O", "B-MISC")]
    assert spans(labelling) == [WordSpan(0, 2, 1), WordSpan(2, 3, 1), WordSpan(4, 5, 7)]


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_spans_probability_is_that_of_all_labellings_that_have_exactly_it(length: int) -> None:
    model, (scores, words) = crf(), batch([length])
    every, path = paths(model, scores[0]), path_of(model, scores, words)
    grid = np.exp(path.span_log_probabilities(longest=9))
    assert grid.shape == (length, length, 2)
    for first, last, begin in itertools.product(range(length), range(1, length + 1), (1, 3)):
        if first < last:
            span = WordSpan(first, last, begin)
            wanted = sum(probability for labels, probability in every.items() if span in spans(list(labels)))
            assert grid[last - first - 1, first, begin // 2] == pytest.approx(wanted, abs=1e-5)
            assert math.exp(path.log_probability(span)) == pytest.approx(wanted, abs=1e-5)
    assert not grid[1, length - 1].any() if length > 1 else True, "no span reaches beyond the last word"


@pytest.mark.parametrize("least", [0.001, 0.02, 0.1, 0.5])
@pytest.mark.parametrize("longest", [1, 2, 9])
@pytest.mark.parametrize("length", [1, 2, 5])
def test_likely_spans_are_all_of_that_probability_and_length_the_likeliest_first(
    length: int, longest: int, least: float
) -> None:
    model, (scores, words) = crf(), batch([length])
    every, path = paths(model, scores[0]), path_of(model, scores, words)
    held: dict[WordSpan, float] = {}
    for labels, probability in every.items():
        for span in spans(list(labels)):
            held[span] = held.get(span, 0.0) + probability
    wanted = {span for span, held_for in held.items() if held_for >= least and span.last - span.first <= longest}
    found = path.likely(least, longest)
    assert set(found) == wanted
    assert len(found) == len(wanted)
    given = [path.probability(span) for span in found]
    assert given == sorted(given, reverse=True)


def test_a_threshold_that_is_a_spans_own_probability_keeps_it_and_nothing_below() -> None:
    model, (scores, words) = crf(), batch([5])
    path = path_of(model, scores, words)
    for span in path.likely(0.001, 9):
        least = path.probability(span)
        found = path.likely(least, 9)
        assert span in found
        assert all(path.probability(one) >= least for one in found)


def test_from_one_on_nothing_is_likely_and_zero_is_refused() -> None:
    model, (scores, words) = crf(), batch([5])
    path = path_of(model, scores, words)
    assert path.likely(1.0, 9) == []
    for wrong in (0.0, -0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="wanted above 0, at most 1"):
            path.likely(wrong, 9)
