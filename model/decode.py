"""From a chain's scores to spans and their probabilities. NumPy only.

Shapes: W words of one tweet, L labels in the order O, then B-X, I-X for each type X, T types, K lengths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

OUTSIDE = 0

DIGITS = 6
"""Predictions are rounded to this many decimals, so that a replay on another machine writes the same bytes."""

SLACK = 0.05
"""What a log-probability of float32 and of thousands of words may be off by."""


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


def spans(labelling: list[int]) -> list[WordSpan]:
    """The spans of a legal labelling."""
    found: list[WordSpan] = []
    for word, label in enumerate(labelling):
        if is_begin(label):
            found.append(WordSpan(word, word + 1, label))
        elif label != OUTSIDE:
            found[-1] = WordSpan(found[-1].first, word + 1, found[-1].begin)
    return found


@dataclass(frozen=True)
class Path:
    """One tweet's chain: log-scores of its words (W, L), of going from label to label (L, L), of ending (L), and what
    the forward and backward passes made of them (`model.crf.Chain`): `ahead`, `behind` (W, L), `total`."""

    scores: Floats
    transitions: Floats
    end: Floats
    ahead: Floats
    behind: Floats
    total: float

    def stops(self) -> Floats:
        """(W, L) log-sum of all ways to go on after a B- or I- label at a word without continuing its mention."""
        labels = len(self.end)
        inside = [inside_of(label) for label in range(labels)]
        result = np.empty_like(self.scores)
        result[-1] = self.end
        onward = self.transitions + (self.scores[1:] + self.behind[1:])[:, None, :]  # (W - 1, from, to)
        onward[:, range(1, labels), inside[1:]] = -np.inf
        result[:-1] = np.logaddexp.reduce(onward, axis=-1)
        return result

    def span_log_probabilities(self, longest: int) -> Floats:
        """(K, W, T): that k + 1 words from a word on are exactly one mention of a type, over all labellings."""
        words, labels = self.scores.shape
        begin = np.arange(1, labels, 2)
        inside, stops = begin + 1, self.stops()
        run = self.ahead[:, begin]  # (W, T), then of all that may still be longer
        result = np.full((min(longest, words), words, len(begin)), -np.inf)
        result[0] = run + stops[:, begin] - self.total
        for length in range(1, len(result)):
            step = self.transitions[begin if length == 1 else inside, inside]
            run = run[:-1] + step + self.scores[length:, inside]
            result[length, : words - length] = run + stops[length:, inside] - self.total
        return result

    def likely(self, probability: float, longest: int) -> list[WordSpan]:
        """Spans of up to `longest` words whose `probability` is this or more, the likeliest first. Above 0; 1: none."""
        if not 0 < probability <= 1:
            raise ValueError(f"probability {probability}: wanted above 0, at most 1")
        if probability == 1:
            return []
        near = np.argwhere(self.span_log_probabilities(longest) >= math.log(probability) - SLACK).tolist()
        spans = [WordSpan(first, first + length + 1, 2 * kind + 1) for length, first, kind in near]
        given = {span: self.probability(span) for span in spans}
        found = [span for span in spans if given[span] >= probability]
        return sorted(found, key=given.__getitem__, reverse=True)

    def probability(self, span: WordSpan) -> float:
        """That it is exactly one mention, as it is given: rounded."""
        return rounded(min(1.0, math.exp(self.log_probability(span))))

    def log_probability(self, span: WordSpan) -> float:
        """As `span_log_probabilities`, of one span."""
        inside, label = inside_of(span.begin), span.begin
        run = float(self.ahead[span.first, label])
        for word in range(span.first + 1, span.last):
            run += float(self.transitions[label, inside] + self.scores[word, inside])
            label = inside
        if span.last == len(self.scores):
            return run + float(self.end[label]) - self.total
        onward = self.transitions[label] + self.scores[span.last] + self.behind[span.last]
        onward[inside] = -np.inf
        return run + float(np.logaddexp.reduce(onward)) - self.total


def rounded(value: float) -> float:
    return round(float(value), DIGITS)
