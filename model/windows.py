"""Cuts a text that is longer than the encoder reads at once into windows that overlap.

Each word is labelled once, by the window in which it stands deepest. So a mention near the edge of one window is read
in the middle of another. Imports no torch.

Positions and lengths are in subwords of a text. A window is [first, last).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

Window = tuple[int, int]


def windows(length: int, most: int, words: Sequence[int], sentences: Sequence[int]) -> tuple[Window, ...]:
    """Returns the windows of a text, in order. Each has at most `most` subwords. Together they cover the text.

    A window ends before a word, and at least half of `most` behind its start. The next one begins a quarter to a half
    of `most` before that end: with a sentence if one begins there, else with a word. Only a text without words to cut
    at is cut within one.

    Args:
        length: Of the text.
        most: Largest length of a window, at least 4.
        words: Where words begin, in order.
        sentences: Where sentences begin, in order.
    """
    found: list[Window] = []
    first = 0
    while length - first > most:
        last = _latest(words, first + most // 2, first + most) or first + most
        found.append((first, last))
        lowest, highest = last - most // 2, last - most // 4
        first = _latest(sentences, lowest, highest) or _latest(words, lowest, highest) or highest
    return (*found, (first, length))


def _latest(places: Sequence[int], above: int, most: int) -> int | None:
    """Returns the last of the sorted places that is larger than `above` and at most `most`."""
    index = bisect_right(places, most)
    return places[index - 1] if index and places[index - 1] > above else None


def deepest(parts: Sequence[Window], positions: Sequence[int]) -> list[int]:
    """Returns, for each position, the index of the window in which it has the most text on its shorter side.

    The start and the end of the text are no edges: nothing is cut off there. Of two windows alike, the first counts.
    """
    starts, ends = [first for first, _ in parts], [last for _, last in parts]
    return [
        max(
            range(bisect_right(ends, position), bisect_left(starts, position + 1)),
            key=lambda index: _depth(parts, index, position),
        )
        for position in positions
    ]


def _depth(parts: Sequence[Window], index: int, position: int) -> float:
    first, last = parts[index]
    before = float("inf") if index == 0 else position - first
    after = float("inf") if index == len(parts) - 1 else last - 1 - position
    return min(before, after)
