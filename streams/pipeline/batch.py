"""Closes a micro-batch when it reaches a token budget or a count, or when its oldest item has waited long enough.

A batch closes at once when nothing else is being processed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from streams.pipeline.stage import Batcher, I

T = TypeVar("T")


class MicroBatcher(Batcher[I]):
    """Makes batches whose padded cost stays within `max_cost`: the longest item's cost times the number of items.

    A batch holds the oldest item, so that none waits for ever. Its other items are of similar length, so that padding
    stays small. An item that costs more than `max_cost` gets its own batch. `wait_s` is in seconds.
    """

    def __init__(self, *, max_cost: int, max_items: int, wait_s: float, cost: Callable[[I], int]) -> None:
        self._max_cost = max_cost
        self._max_items = max_items
        self._wait_s = wait_s
        self._cost = cost
        self._waiting: list[tuple[float, int, I]] = []  # (arrival, cost, item), oldest first

    def add(self, item: I, now: float) -> None:
        self._waiting.append((now, self._cost(item), item))

    def due(self, now: float, *, idle: bool) -> float | None:
        if not self._waiting:
            return None
        if idle or self._holds_a_batch():
            return 0.0
        return max(0.0, self._waiting[0][0] + self._wait_s - now)

    def full(self) -> bool:
        return len(self._waiting) >= 4 * self._max_items

    def take(self) -> list[I]:
        ranked = sorted(range(len(self._waiting)), key=lambda index: (self._waiting[index][1], index))
        low = high = ranked.index(0)  # rank of the oldest item
        while high - low + 1 < self._max_items:
            longer = high + 1 < len(ranked) and self._fits(ranked, low, high + 1)
            shorter = low > 0 and self._fits(ranked, low - 1, high)
            if not longer and not shorter:
                break
            # the neighbour that is nearer in length needs less padding
            if longer and (not shorter or self._gap(ranked, high, high + 1) <= self._gap(ranked, low - 1, low)):
                high += 1
            else:
                low -= 1
        chosen = set(ranked[low : high + 1])
        batch = [entry[2] for index, entry in enumerate(self._waiting) if index in chosen]
        self._waiting = [entry for index, entry in enumerate(self._waiting) if index not in chosen]
        return batch

    def _holds_a_batch(self) -> bool:
        longest = max(cost for _, cost, _ in self._waiting)
        return len(self._waiting) >= self._max_items or longest * len(self._waiting) >= self._max_cost

    def _fits(self, ranked: list[int], low: int, high: int) -> bool:
        return self._waiting[ranked[high]][1] * (high - low + 1) <= self._max_cost

    def _gap(self, ranked: list[int], lower: int, upper: int) -> int:
        return self._waiting[ranked[upper]][1] - self._waiting[ranked[lower]][1]
