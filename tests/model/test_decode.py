"""Decoding against brute force over every labelling."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from model.decode import WordSpan, allowed, span_probability, spans, viterbi
from model.tagger import LABELS

SMALL = LABELS[:5]


def legal(labelling: tuple[int, ...]) -> bool:
    tags = ["O", *(SMALL[label] for label in labelling)]
    return all(tag[0] != "I" or before[2:] == tag[2:] for before, tag in itertools.pairwise(tags))


@pytest.mark.parametrize("seed", range(20))
def test_viterbi_finds_the_most_probable_legal_labelling(seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(3, 4, len(SMALL)))
    lengths = [4, 2, 3]
    for tweet, found in enumerate(viterbi(scores, lengths)):
        everything = itertools.product(range(len(SMALL)), repeat=lengths[tweet])
        total = {path: sum(scores[tweet, word, label] for word, label in enumerate(path)) for path in everything}
        assert tuple(found) == max((path for path in total if legal(path)), key=lambda path: total[path])


def test_a_tweet_without_words_has_no_labels() -> None:
    assert viterbi(np.zeros((2, 1, 9)), [0, 1])[0] == []


def test_inside_follows_only_its_own_type() -> None:
    possible = np.isfinite(allowed(len(LABELS)))
    for before, after in itertools.product(range(len(LABELS)), repeat=2):
        same_type = LABELS[before][2:] == LABELS[after][2:]
        assert possible[before, after] == (LABELS[after][0] != "I" or same_type)


def test_spans_of_a_labelling_include_neighbours_of_one_type() -> None:
    labelling = [LABELS.index(tag) for tag in ("B-PER", "I-PER", "B-PER", "O", "B-MISC")]
    assert spans(labelling) == [WordSpan(0, 2, 1), WordSpan(2, 3, 1), WordSpan(4, 5, 7)]


@pytest.mark.parametrize("span", [WordSpan(0, 2, 1), WordSpan(1, 2, 3), WordSpan(2, 3, 1)])
def test_a_spans_probability_is_that_of_all_labellings_that_have_exactly_it(span: WordSpan) -> None:
    """Every labelling counts here, legal or not: what stands next to a span is not told apart."""
    raw = np.random.default_rng(7).random((3, len(SMALL)))
    probabilities = raw / raw.sum(-1, keepdims=True)
    inside = span.begin + 1
    expected = 0.0
    for path in itertools.product(range(len(SMALL)), repeat=3):
        here = path[span.first] == span.begin and all(path[word] == inside for word in range(span.first + 1, span.last))
        ends = span.last == 3 or path[span.last] != inside
        if here and ends:
            expected += float(np.prod([probabilities[word, label] for word, label in enumerate(path)]))
    assert span_probability(probabilities, span) == pytest.approx(expected)
