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
        transitions, _, end = model.scores(1.0)
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
