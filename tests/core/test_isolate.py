"""Isolating the item that makes a batch fail."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from core.errors import BatchFailed, ProcessDied, Retry
from core.isolate import MAX_DEATHS, isolate


class Processor:
    """Fails on every batch that holds a poisonous number. Records its calls."""

    def __init__(self, *poison: int, error: type[BatchFailed] = BatchFailed) -> None:
        self.poison = set(poison)
        self.error = error
        self.batches: list[list[int]] = []
        self.done: list[int] = []
        self.failed: list[int] = []

    async def process(self, batch: Sequence[int]) -> None:
        self.batches.append(list(batch))
        if self.poison & set(batch):
            raise self.error("poison")
        self.done += batch

    def fail(self, number: int, error: BatchFailed) -> bool:
        self.failed.append(number)
        return False


@pytest.mark.parametrize("poison", [(), (0,), (7,), (3, 4), range(8)], ids=str)
async def test_only_the_poisonous_items_fail(poison: Sequence[int]) -> None:
    processor = Processor(*poison)
    await isolate(range(8), processor.process, processor.fail)
    assert processor.failed == list(poison)
    assert processor.done == [number for number in range(8) if number not in poison]


async def test_an_empty_batch_is_not_processed() -> None:
    processor = Processor()
    await isolate([], processor.process, processor.fail)
    assert processor.batches == []


@pytest.mark.parametrize(("error", "tries"), [(BatchFailed, 1), (ProcessDied, MAX_DEATHS)])
async def test_an_item_alone_gets_another_try_when_the_process_died(error: type[BatchFailed], tries: int) -> None:
    processor = Processor(1, error=error)
    await isolate([0, 1], processor.process, processor.fail)
    assert processor.batches == [[0, 1], [0], *[[1]] * tries]


async def test_an_item_that_was_changed_is_tried_again() -> None:
    processor = Processor(1, error=ProcessDied)

    def mend(number: int, error: BatchFailed) -> bool:
        processor.poison.remove(number)
        return True

    await isolate([1], processor.process, mend)
    assert processor.done == [1]


async def test_other_errors_end_the_search() -> None:
    async def process(batch: Sequence[int]) -> None:
        raise Retry("the server is away")

    with pytest.raises(Retry):
        await isolate([1, 2], process, lambda number, error: False)
