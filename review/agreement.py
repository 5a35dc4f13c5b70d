"""How far several people agree beyond chance: Cohen's kappa for two, Fleiss' kappa for any number. Pure.

A unit is a span of one post: each span in question, and each span that a voter set or added. A voter's category for it
is the type of the voter's mention with exactly this span, or `NONE` if there is no such mention. So two people who move
a mention to different places disagree on the span in question only if one of them kept it, and on both new spans. Spans
that nobody was asked about, and that nobody touched, are not counted: they would raise the figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.events import ENTITY_TYPES, Decision, ReviewTask, Vote

NONE = "no entity"
CATEGORIES: tuple[str, ...] = (*ENTITY_TYPES, NONE)
#: Number of resamples behind an interval, and the seed of their generator: the same votes give the same figures.
RESAMPLES, SEED = 2000, 1960
#: Number of resamples that are in memory at once.
AT_ONCE = 100

Counts = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """The agreement of one group of people. Figures that are undefined are None."""

    method: Literal["cohen", "fleiss"]
    reviewers: tuple[str, ...]  # the two of Cohen's kappa; all who voted, for Fleiss' kappa
    posts: int
    units: int
    observed: float | None  # share of pairs of votes that agree
    kappa: float | None  # None: no unit, or all votes have the same category
    interval: tuple[float, float] | None  # 95%, by resampling posts


@dataclass(frozen=True)
class Judged:
    """What the figures need of one post with two or more votes. It holds no text."""

    decided_at: datetime  # of the last vote
    reviewers: tuple[str, ...]  # sorted
    rows: tuple[tuple[int, ...], ...]  # categories of each unit, as places in `CATEGORIES`, one for each reviewer
    pairs: dict[tuple[str, str], tuple[tuple[int, int], ...]]  # the same for two of them: their units only


def judge(decision: Decision) -> Judged | None:
    """Returns what a decision says about agreement. None if it has fewer than two votes, or is on a copy."""
    votes = sorted(decision.votes, key=lambda vote: vote.reviewer)
    if len(votes) < 2 or decision.copy_of is not None:
        return None
    return Judged(
        max(vote.decided_at for vote in votes),
        tuple(vote.reviewer for vote in votes),
        tuple(map(tuple, units(decision.task, votes))),
        {
            (first.reviewer, second.reviewer): tuple((a, b) for a, b in units(decision.task, [first, second]))
            for first, second in combinations(votes, 2)
        },
    )


def units(task: ReviewTask, votes: Sequence[Vote]) -> list[list[int]]:
    """Returns the categories of each unit of a post, as places in `CATEGORIES`: shape (units, votes)."""
    spans = {(question.mention.start, question.mention.end) for question in task.questions}
    spans |= {(v.after.start, v.after.end) for vote in votes for v in vote.verdicts if v.after is not None}
    spans |= {(v.before.start, v.before.end) for vote in votes for v in vote.verdicts if v.before is not None}
    marked = [{(one.start, one.end): one.type for one in vote.mentions} for vote in votes]
    return [[CATEGORIES.index(types.get(span, NONE)) for types in marked] for span in sorted(spans)]


def cohen(table: Counts) -> float | None:
    """Returns Cohen's kappa of a table of counts, first rater by second rater.

    Cohen (1960), A coefficient of agreement for nominal scales, equation 1: (p_o - p_c) / (1 - p_c). None if p_c is 1,
    or if the table is empty.
    """
    total = float(table.sum())
    if not total:
        return None
    expected = float(table.sum(axis=1) @ table.sum(axis=0)) / total**2
    return _kappa(float(np.trace(table)) / total, expected)


def fleiss(counts: Counts) -> float | None:
    """Returns Fleiss' kappa of counts of votes, units by categories. Each unit has at least two votes.

    Fleiss (1971), Measuring nominal scale agreement among many raters. He has the same number of votes for each unit.
    With different numbers, each unit has the same weight in the observed agreement, and each vote in the expected one.
    None if all votes have one category, or if there is no unit.
    """
    return _fleiss(_sums(counts)) if len(counts) else None


def of_pair(judged: Iterable[Judged], first: str, second: str) -> Agreement:
    """Returns Cohen's kappa of two people, over the posts on which both have voted."""
    tables, names = [], (min(first, second), max(first, second))
    for post in judged:
        if names in post.pairs:
            table = np.zeros((len(CATEGORIES), len(CATEGORIES)))
            for a, b in post.pairs[names]:
                table[a, b] += 1
            tables.append(table)
    stacked = np.stack(tables) if tables else np.zeros((0, len(CATEGORIES), len(CATEGORIES)))
    total = stacked.sum(axis=0)
    number = int(total.sum())
    observed = float(np.trace(total)) / number if number else None
    size = len(CATEGORIES)
    resampled = [cohen(one.reshape(size, size)) for one in _resampled(stacked.reshape(len(tables), size * size))]
    interval = _interval(resampled)
    return Agreement("cohen", names, len(tables), number, observed, cohen(total), interval)


def of_all(judged: Iterable[Judged]) -> Agreement:
    """Returns Fleiss' kappa over all posts, whoever voted on them."""
    voted = list(judged)
    sums = np.stack([_sums(_counts(one)) for one in voted]) if voted else np.zeros((0, 2 + len(CATEGORIES)))
    total = sums.sum(axis=0)
    names = tuple(sorted({name for one in voted for name in one.reviewers}))
    observed = float(total[1] / total[0]) if total[0] else None
    interval = _interval([_fleiss(one) for one in _resampled(sums)])
    return Agreement("fleiss", names, len(voted), int(total[0]), observed, _fleiss(total), interval)


def of_pairs(judged: Sequence[Judged], most: int) -> list[Agreement]:
    """Returns Cohen's kappa of each two people who have voted on the same posts, those with most posts first.

    Only the first `most` pairs are computed, since the number of pairs grows with the square of the number of people.
    """
    posts: dict[tuple[str, str], list[Judged]] = {}
    for post in judged:
        for pair in post.pairs:
            posts.setdefault(pair, []).append(post)
    first = sorted(posts, key=lambda pair: (-len(posts[pair]), pair))[:most]
    return [of_pair(posts[pair], *pair) for pair in first]


def _counts(judged: Judged) -> Counts:
    counts = np.zeros((len(judged.rows), len(CATEGORIES)))
    for row, categories in zip(counts, judged.rows, strict=True):
        np.add.at(row, list(categories), 1)
    return counts


def _sums(counts: Counts) -> Counts:
    """Returns what Fleiss' kappa needs, as sums over the units: their number, P_i, and the votes of each category."""
    votes = counts.sum(axis=1)
    agreeing = ((counts**2).sum(axis=1) - votes) / (votes * (votes - 1))  # P_i, equation 2
    return np.array([len(counts), agreeing.sum(), *counts.sum(axis=0)])


def _fleiss(sums: Counts) -> float | None:
    number, agreeing, votes = sums[0], sums[1], sums[2:]
    if not number:
        return None
    shares = votes / votes.sum()  # p_j, equation 1
    return _kappa(float(agreeing / number), float((shares**2).sum()))


def _kappa(observed: float, expected: float) -> float | None:
    return None if 1 - expected < 1e-12 else (observed - expected) / (1 - expected)


def _resampled(posts: Counts) -> Counts:
    """Returns sums over posts drawn with replacement, once a resample. Posts are drawn, since the units of one post
    depend on each other.
    """
    number = len(posts)
    if number < 2:
        return np.zeros((0, posts.shape[1]))
    generator, shares = np.random.default_rng(SEED), np.full(number, 1 / number)
    drawn = (generator.multinomial(number, shares, size=AT_ONCE) for _ in range(RESAMPLES // AT_ONCE))
    return np.concatenate([np.asarray(some @ posts, dtype=np.float64) for some in drawn])


def _interval(resampled: Sequence[float | None]) -> tuple[float, float] | None:
    """Returns the middle 95% of the resamples. A resample with one category only is undefined, and left out."""
    defined = [one for one in resampled if one is not None]
    if not defined:
        return None
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)
