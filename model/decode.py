"""Turns a chain's scores into spans and their probabilities. Uses only NumPy.

Shapes: B posts, W words, padded on the right, L labels in the order O, then B-X, I-X for each type X, T types,
K lengths, N spans.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Integers = NDArray[np.intp]

OUTSIDE = 0

DIGITS = 6
"""Decimals to which predictions are rounded, so that a replay on another machine writes the same bytes."""


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


class Spans(NamedTuple):
    """Spans of several posts, as N integers each."""

    row: Integers  # the post in the batch
    first: Integers
    last: Integers
    begin: Integers

    @classmethod
    def of(cls, found: Sequence[tuple[int, WordSpan]]) -> Self:
        """Makes them of pairs of a row and a span."""
        numbers = [(row, span.first, span.last, span.begin) for row, span in found]
        return cls(*np.array(numbers, np.intp).reshape(-1, 4).T)

    def pairs(self) -> Iterator[tuple[int, WordSpan]]:
        """Yields what `of` takes."""
        for row, first, last, begin in np.stack(self, 1).tolist():
            yield row, WordSpan(first, last, begin)


@dataclass(frozen=True)
class ChainPosterior:
    """The distributions over the labellings of B posts. `model.crf.ForwardBackward` explains the two passes.

    All posts are decoded at once, with the same arithmetic for each, whatever the others are.
    """

    scores: Floats  # (B, W, L) log-scores of the labels
    transitions: Floats  # (B, L, L) log-scores of going from one label to the next
    end: Floats  # (B, L) log-scores of the last label
    forward: Floats  # (B, W, L) of the forward pass
    backward: Floats  # (B, W, L) of the backward pass
    total: Floats  # (B) logsumexp of the scores of all labellings
    lengths: Integers  # (B) number of words

    def stops(self) -> Floats:
        """Returns (B, W, L). [b, w, l] is the logsumexp of all continuations that end a mention at word w with label l.

        The column of O, and words in the padding, have no meaning.
        """
        result = np.zeros_like(self.scores)
        # a mention ends before O and before each B; an I of another type is forbidden
        ends = [OUTSIDE, *range(1, self.scores.shape[-1], 2)]
        onward = (self.scores[:, 1:, ends] + self.backward[:, 1:, ends])[:, :, None, :]  # (B, W - 1, 1, to)
        result[:, :-1] = _logsumexp(self.transitions[:, None, :, ends] + onward)
        worded = np.flatnonzero(self.lengths)
        result[worded, self.lengths[worded] - 1] = self.end[worded]
        return result

    def span_log_probabilities(self, longest: int) -> Floats:
        """Returns (K, B, W, T). [k, b, w, t] is the log-probability that words w to w + k are one mention of type t.

        It is -inf where the post has too few words.
        """
        posts, words, labels = self.scores.shape
        begin = np.arange(1, labels, 2)
        inside, stops = begin + 1, self.stops()
        run = self.forward[:, :, begin]  # (B, W, T); each step drops the last word, which has no room for the length
        result = np.full((min(longest, words), posts, words, len(begin)), -np.inf)
        result[0] = run + stops[:, :, begin] - self.total[:, None, None]
        for length in range(1, len(result)):
            step = self.transitions[:, None, begin if length == 1 else inside, inside]
            run = run[:, :-1] + step + self.scores[:, length:, inside]
            result[length, :, : words - length] = run + stops[:, length:, inside] - self.total[:, None, None]
        beyond = np.arange(words) + np.arange(len(result))[:, None, None] >= self.lengths[:, None]  # (K, B, W)
        result[beyond] = -np.inf
        return result

    def likely(self, probability: float, longest: int) -> list[list[WordSpan]]:
        """Returns each post's spans of up to `longest` words with at least this probability, most probable first.

        A probability of 1 asks for no spans. Raises `ValueError` outside (0, 1].
        """
        if not 0 < probability <= 1:
            raise ValueError(f"probability {probability}: choose one above 0 and at most 1")
        found: list[list[WordSpan]] = [[] for _ in self.lengths]
        if probability == 1:
            return found
        before_rounding = max(probability - 10.0**-DIGITS, np.finfo(float).tiny)
        near = np.argwhere(self.span_log_probabilities(longest) >= math.log(before_rounding))
        length, row, first, kind = near.T
        spans = Spans(row, first, first + length + 1, 2 * kind + 1)
        probabilities = self.probabilities(spans)
        order = np.argsort(-probabilities, kind="stable")
        kept = order[probabilities[order] >= probability]
        for post, span in Spans(*(part[kept] for part in spans)).pairs():
            found[post].append(span)
        return found

    def probabilities(self, spans: Spans) -> Floats:
        """Returns (N), the probability that each span is exactly one mention, rounded."""
        return np.round(np.minimum(1.0, np.exp(self.log_probabilities(spans))), DIGITS)

    def log_probabilities(self, spans: Spans) -> Floats:
        """Returns (N), the log-probability that each span is exactly one mention."""
        row, first, last, begin = spans
        inside = begin + 1
        run, label = self.forward[row, first, begin], begin
        for length in range(1, int((last - first).max(initial=1))):
            longer = np.flatnonzero(last - first > length)
            post, word, into = row[longer], first[longer] + length, inside[longer]
            run[longer] += self.transitions[post, label[longer], into] + self.scores[post, word, into]
            label = np.where(last - first > length, inside, label)
        stop = self.end[row, label]
        more = np.flatnonzero(last < self.lengths[row])
        post, word, ends = row[more], last[more], [OUTSIDE, *range(1, self.scores.shape[-1], 2)]
        onward = self.scores[post, word] + self.backward[post, word] + self.transitions[post, label[more]]
        stop[more] = _logsumexp(onward[:, ends])
        result: Floats = run + stop - self.total[row]
        return result


def _logsumexp(scores: Floats) -> Floats:
    """Returns the log of the sum of the exponentials over the last axis."""
    highest = scores.max(-1, keepdims=True)
    result: Floats = np.log(np.exp(scores - highest).sum(-1)) + highest[..., 0]
    return result


def rounded(value: float) -> float:
    return round(float(value), DIGITS)
