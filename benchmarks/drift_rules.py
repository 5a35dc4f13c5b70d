"""The rules that set the threshold of a stream, and what comes of a stream under a rule."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from benchmarks.drift_streams import Bools, Floats, Stream
from model.training.guarantee import Marks
from streams.thresholds import Answer, Control, Thresholds


class Rule(Protocol):
    """Sets the threshold. It hears the answers about drawn mentions."""

    def threshold(self, source: str | None) -> float: ...
    def hear(self, answer: Answer) -> None: ...


class Fixed:
    """The checkpoint's threshold for ever."""

    def __init__(self, start: float) -> None:
        self._start = start

    def threshold(self, source: str | None) -> float:
        return self._start

    def hear(self, answer: Answer) -> None:
        pass


class Follow:
    """`streams.thresholds`."""

    def __init__(self, start: float, control: Control) -> None:
        self.state = Thresholds.begin(start, control)

    def threshold(self, source: str | None) -> float:
        return self.state.threshold(source)

    def hear(self, answer: Answer) -> None:
        self.state = self.state.after(answer)


class Aci:
    """Adaptive conformal inference as published (Gibbs & Candès, arXiv 2106.00170, eq. 2).

    It moves alpha, the share that may be wrong. The threshold is the lowest at which no more than this share of the
    calibration mentions is wrong. When there is none, all mentions go to people, and each drawn one counts as right.
    """

    def __init__(self, calibration: Sequence[Marks], aim: float, step: float) -> None:
        found = sorted((mark for post in calibration for mark in post), reverse=True)
        self._probability = [probability for probability, _ in found]
        self._risk = np.cumsum([not right for _, right in found]) / np.arange(1, len(found) + 1)
        self._alpha = self._aim = aim
        self._step = step

    def threshold(self, source: str | None) -> float:
        allowed = np.flatnonzero(self._risk <= self._alpha)
        return self._probability[int(allowed[-1])] if len(allowed) and self._alpha > 0 else 1.0

    def hear(self, answer: Answer) -> None:
        if answer.was_confident or self.threshold(None) == 1.0:
            self._alpha += self._step * (self._aim - (answer.was_confident and not answer.is_right))


@dataclass(frozen=True)
class Run:
    """A stream under a rule."""

    stream: Stream
    threshold: Floats
    """(N) in force for each mention."""

    @property
    def confident(self) -> Bools:
        found: Bools = (self.threshold < 1) & (self.stream.probability >= self.threshold)
        return found

    @property
    def audited(self) -> Bools:
        return self.confident & self.stream.drawn


def run(stream: Stream, rule: Rule, sources: Sequence[str] = (), late: int = 0, seed: int = 0) -> Run:
    """Sends a stream through a rule.

    `sources`: names of the parts; empty means that the rule does not know the source. `late`: an answer comes after up
    to this many later drawn mentions, at random, so answers also change places.
    """
    random = np.random.default_rng(seed)
    threshold = np.empty(len(stream.part))
    places = np.flatnonzero(stream.drawn).tolist()
    waiting: list[tuple[int, int, Answer]] = []
    begin = 0
    for number, place in enumerate(places):
        for part, name in enumerate(sources or [None]):
            now = threshold[begin : place + 1]
            chosen = stream.part[begin : place + 1] == part if sources else slice(None)
            now[chosen] = rule.threshold(name)
        begin = place + 1
        due = number + (int(random.integers(late + 1)) if late else 0)
        heapq.heappush(waiting, (due, number, _answer(stream, place, threshold[place], sources)))
        while waiting and waiting[0][0] <= number:
            rule.hear(heapq.heappop(waiting)[2])
    for part, name in enumerate(sources or [None]):
        now = threshold[begin:]
        now[stream.part[begin:] == part if sources else slice(None)] = rule.threshold(name)
    return Run(stream, threshold)


def _answer(stream: Stream, place: int, threshold: float, sources: Sequence[str]) -> Answer:
    return Answer(
        id=str(place),
        source=sources[stream.part[place]] if sources else None,
        probability=float(stream.probability[place]),
        threshold=float(threshold),
        is_right=bool(stream.right[place]),
    )
