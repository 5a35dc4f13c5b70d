"""Finds the item that makes a batch fail, by halving the batch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from core.errors import BatchFailed, ProcessDied

T = TypeVar("T")

MAX_DEATHS = 2
"""How often the process may die on one isolated item. The first death may have another cause, such as `kill -9`."""


async def isolate(
    items: Sequence[T], process: Callable[[Sequence[T]], Awaitable[None]], fail: Callable[[T, BatchFailed], bool]
) -> None:
    """Processes a batch. A batch that fails is halved until the poisonous item is alone.

    `process` raises `BatchFailed` when an item of its batch may be the cause. Any other exception ends the search.
    `fail` receives the isolated item. It returns True when it changed the item so that another try makes sense.
    """
    deaths = 0
    while items:
        try:
            await process(items)
            return
        except BatchFailed as error:
            if len(items) > 1:
                break
            died = isinstance(error, ProcessDied)
            deaths += died
            if died and deaths < MAX_DEATHS:
                continue
            if not fail(items[0], error):
                return
            deaths = 0
    middle = len(items) // 2
    for half in (items[:middle], items[middle:]):
        if half:
            await isolate(half, process, fail)
