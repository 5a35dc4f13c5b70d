"""Turns a chain's scores into spans and their probabilities. Uses only NumPy.

Shapes: W words of one post, L labels in the order O, then B-X, I-X for each type X, T types, K lengths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

OUTSIDE = 0

DIGITS = 6
"""Decimals to which predictions are rounded, so that a replay on another machine writes the same bytes."""

SLACK = 0.05
"""Largest error of a log-probability summed over thousands of words in float32."""


def is_begin(label: int) -> bool:
    return label % 2 == 1


def inside_of(label: int) -> int:
    """Returns the I- label with the type of this B- or I- label."""
    return label + label % 2


@dataclass(frozen=True, slots=True)
class WordSpan:
    """Words [first, last) of one post; `begin` is the B- label of their type."""

    first: int
    last: int
    begin: int


def spans(labelling: list[int]) -> list[WordSpan]:
    """Returns the spans of a labelling that BIO allows."""
    result: list[WordSpan] = []
    for word, label in enumerate(labelling):
        if is_begin(label):
            result.append(WordSpan(word, word + 1, label))
        elif label != OUTSIDE:
            result[-1] = WordSpan(result[-1].first, word + 1, result[-1].begin)
    return result


@dataclass(frozen=True)
class ChainPosterior:
    """The distribution over labellings of one post. `model.crf.ForwardBackward` explains the two passes."""

    scores: Floats  # (W, L) log-scores of the labels
    transitions: Floats  # (L, L) log-scores of going from one label to the next
    end: Floats  # (L) log-scores of the last label
    forward: Floats  # (W, L) of the forward pass
    backward: Floats  # (W, L) of the backward pass
    total: float  # logsumexp of the scores of all labellings

    def stops(self) -> Floats:
        """Returns (W, L). [w, l] is the logsumexp of all continuations that end a mention at word w with label l.

        The column of O has no meaning.
        """
        labels = len(self.end)
        inside = [inside_of(label) for label in range(labels)]
        result = np.empty_like(self.scores)
        result[-1] = self.end
        onward = self.transitions + (self.scores[1:] + self.backward[1:])[:, None, :]  # (W - 1, from, to)
        onward[:, range(1, labels), inside[1:]] = -np.inf
        result[:-1] = np.logaddexp.reduce(onward, axis=-1)
        return result

    def span_log_probabilities(self, longest: int) -> Floats:
        """Returns (K, W, T). [k, w, t] is the log-probability that words w to w + k are exactly one mention of type t.

        It is -inf where the post has too few words.
        """
        words, labels = self.scores.shape
        begin = np.arange(1, labels, 2)
        inside, stops = begin + 1, self.stops()
        run = self.forward[:, begin]  # (W, T); each step drops the last word, which has no room for the length
        result = np.full((min(longest, words), words, len(begin)), -np.inf)
        result[0] = run + stops[:, begin] - self.total
        for length in range(1, len(result)):
            step = self.transitions[begin if length == 1 else inside, inside]
            run = run[:-1] + step + self.scores[length:, inside]
            result[length, : words - length] = run + stops[length:, inside] - self.total
        return result

    def likely(self, probability: float, longest: int) -> list[WordSpan]:
        """Returns the spans of up to `longest` words with at least this probability, most probable first.

        A probability of 1 asks for no spans. Raises `ValueError` outside (0, 1].
        """
        if not 0 < probability <= 1:
            raise ValueError(f"probability {probability}: choose one above 0 and at most 1")
        if probability == 1:
            return []
        near = np.argwhere(self.span_log_probabilities(longest) >= math.log(probability) - SLACK).tolist()
        spans = [WordSpan(first, first + length + 1, 2 * kind + 1) for length, first, kind in near]
        probabilities = {span: self.probability(span) for span in spans}
        return sorted(
            (span for span in spans if probabilities[span] >= probability), key=probabilities.__getitem__, reverse=True
        )

    def probability(self, span: WordSpan) -> float:
        """Returns the probability that the span is exactly one mention, rounded."""
        return rounded(min(1.0, math.exp(self.log_probability(span))))

    def log_probability(self, span: WordSpan) -> float:
        """Returns the log-probability that the span is exactly one mention."""
        inside, label = inside_of(span.begin), span.begin
        run = float(self.forward[span.first, label])
        for word in range(span.first + 1, span.last):
            run += float(self.transitions[label, inside] + self.scores[word, inside])
            label = inside
        if span.last == len(self.scores):
            return run + float(self.end[label]) - self.total
        onward = self.transitions[label] + self.scores[span.last] + self.backward[span.last]
        onward[inside] = -np.inf
        return run + float(np.logaddexp.reduce(onward)) - self.total


def rounded(value: float) -> float:
    return round(float(value), DIGITS)
