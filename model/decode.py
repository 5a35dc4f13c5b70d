"""From token beliefs to spans: the best labelling that is legal BIO, and each span's probability. NumPy only.

Shapes: B tweets, W words (padded), L labels in the order of `tagger.LABELS`: O, then B-X, I-X for each type X.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

OUTSIDE = 0


def is_begin(label: int) -> bool:
    return label % 2 == 1


def inside_of(label: int) -> int:
    """The I- label of a B- or I- label's type."""
    return label + label % 2


@dataclass(frozen=True, slots=True)
class WordSpan:
    """Words [first, last) of one tweet; `begin` is the B- label of its type."""

    first: int
    last: int
    begin: int


def allowed(labels: int) -> Floats:
    """(L, L) log-weights of going from one label to the next: I-X only after B-X or I-X. Nothing is learned here."""
    weights = np.zeros((labels, labels))
    for following in range(2, labels, 2):
        weights[:, following] = -np.inf
        weights[[following - 1, following], following] = 0.0
    return weights


def viterbi(log_probabilities: Floats, lengths: list[int]) -> list[list[int]]:
    """The most probable legal labelling of each tweet. `log_probabilities` (B, W, L) finite; lengths: words in each.

    Words are independent given the encoder, so the constraint is the only link between neighbours.
    """
    tweets, width, labels = log_probabilities.shape
    transitions = allowed(labels)
    score = log_probabilities[:, 0].copy() if width else np.zeros((tweets, labels))
    score[:, 2::2] = -np.inf  # no mention begins inside
    scores, pointers = [score], [np.zeros((tweets, labels), dtype=np.int64)]
    for word in range(1, width):
        paths = score[:, :, None] + transitions  # (B, from, to)
        pointer = paths.argmax(1)
        score = np.take_along_axis(paths, pointer[:, None], 1)[:, 0] + log_probabilities[:, word]
        scores.append(score)
        pointers.append(pointer)
    return [_trace(scores, pointers, tweet, length) for tweet, length in enumerate(lengths)]


def _trace(scores: list[Floats], pointers: list[NDArray[np.int64]], tweet: int, length: int) -> list[int]:
    if length == 0:
        return []
    path = [int(scores[length - 1][tweet].argmax())]
    for word in range(length - 1, 0, -1):
        path.append(int(pointers[word][tweet, path[-1]]))
    return path[::-1]


def spans(labelling: list[int]) -> list[WordSpan]:
    """The spans of a legal labelling."""
    found: list[WordSpan] = []
    for word, label in enumerate(labelling):
        if is_begin(label):
            found.append(WordSpan(word, word + 1, label))
        elif label != OUTSIDE:
            found[-1] = WordSpan(found[-1].first, word + 1, found[-1].begin)
    return found


def span_probability(probabilities: Floats, span: WordSpan) -> float:
    """That exactly this span of this type stands there: its first word begins it, the others go on, the next does not.

    `probabilities` (words, L) of one tweet.
    """
    inside = inside_of(span.begin)
    result = probabilities[span.first, span.begin] * probabilities[span.first + 1 : span.last, inside].prod()
    if span.last < len(probabilities):
        result *= 1.0 - probabilities[span.last, inside]
    return float(result)
