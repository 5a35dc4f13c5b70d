"""Spans and their probabilities, against a sum over all labellings."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from model.crf import CRF
from model.decode import ChainPosterior, Spans, WordSpan, spans
from model.design import LABELS
from tests.model.test_crf import batch, crf, paths


def posterior_of(model: CRF, scores: torch.Tensor, words: torch.Tensor) -> ChainPosterior:
    with torch.inference_mode():
        passes = model.forward_backward(scores.double(), words)
        transitions, _, end = model.scores(1.0)
    posts = len(scores)
    return ChainPosterior(
        scores=scores.double().numpy(),
        transitions=transitions.expand(posts, -1, -1).numpy(),
        end=end.expand(posts, -1).numpy(),
        forward=passes.forward.numpy(),
        backward=passes.backward.numpy(),
        total=passes.total.numpy(),
        lengths=words.sum(1).numpy(),
    )


def probability_of(posterior: ChainPosterior, span: WordSpan, row: int = 0) -> float:
    return float(posterior.probabilities(Spans.of([(row, span)]))[0])


def test_neighbouring_spans_of_one_type_stay_apart() -> None:
    labelling = [LABELS.index(tag) for tag in ("B-PER", "I-PER", "B-PER", "O", "B-MISC")]
    assert spans(labelling) == [WordSpan(0, 2, 1), WordSpan(2, 3, 1), WordSpan(4, 5, 7)]


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_spans_probability_is_the_sum_over_the_labellings_with_that_span(length: int) -> None:
    model, (scores, words) = crf(), batch([length])
    every, posterior = paths(model, scores[0]), posterior_of(model, scores, words)
    grid = np.exp(posterior.span_log_probabilities(longest=9))
    assert grid.shape == (length, 1, length, 2)
    for first, last, begin in itertools.product(range(length), range(1, length + 1), (1, 3)):
        if first < last:
            span = WordSpan(first, last, begin)
            expected = sum(probability for labels, probability in every.items() if span in spans(list(labels)))
            assert grid[last - first - 1, 0, first, begin // 2] == pytest.approx(expected, abs=1e-5)
            assert math.exp(posterior.log_probabilities(Spans.of([(0, span)]))[0]) == pytest.approx(expected, abs=1e-5)
    assert length == 1 or not grid[1, 0, length - 1].any(), "no span ends beyond the last word"


@pytest.mark.parametrize("least", [0.001, 0.02, 0.1, 0.5])
@pytest.mark.parametrize("longest", [1, 2, 9])
@pytest.mark.parametrize("length", [1, 2, 5])
def test_likely_spans_are_all_within_the_limits_and_the_most_probable_comes_first(
    length: int, longest: int, least: float
) -> None:
    model, (scores, words) = crf(), batch([length])
    every, posterior = paths(model, scores[0]), posterior_of(model, scores, words)
    sums: dict[WordSpan, float] = {}
    for labels, probability in every.items():
        for span in spans(list(labels)):
            sums[span] = sums.get(span, 0.0) + probability
    expected = {span for span, value in sums.items() if value >= least and span.last - span.first <= longest}
    (likely,) = posterior.likely(least, longest)
    assert set(likely) == expected
    assert len(likely) == len(expected)
    probabilities = [probability_of(posterior, span) for span in likely]
    assert probabilities == sorted(probabilities, reverse=True)


def test_a_span_whose_probability_equals_the_threshold_is_kept() -> None:
    model, (scores, words) = crf(), batch([5])
    posterior = posterior_of(model, scores, words)
    for span in posterior.likely(0.001, 9)[0]:
        least = probability_of(posterior, span)
        (likely,) = posterior.likely(least, 9)
        assert span in likely
        assert all(probability_of(posterior, other) >= least for other in likely)


def test_posts_are_decoded_together_as_they_are_alone() -> None:
    model, (scores, words) = crf(), batch([5, 1, 0, 3])
    together = posterior_of(model, scores, words).likely(0.001, 9)
    assert [len(spans) > 0 for spans in together] == [True, True, False, True]
    for row, found in enumerate(together):
        alone = posterior_of(model, scores[row : row + 1], words[row : row + 1])
        assert alone.likely(0.001, 9) == [found]
        for span in found:
            assert probability_of(alone, span) == probability_of(posterior_of(model, scores, words), span, row)


def test_a_probability_of_1_gives_no_spans_and_values_outside_0_to_1_are_refused() -> None:
    model, (scores, words) = crf(), batch([5])
    posterior = posterior_of(model, scores, words)
    assert posterior.likely(1.0, 9) == [[]]
    for wrong in (0.0, -0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="choose one above 0 and at most 1"):
            posterior.likely(wrong, 9)
