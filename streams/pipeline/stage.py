"""What a stage is. A pipeline runs its stages side by side, joined by bounded queues.

A stage handles one item (`Stage`) or a batch (`BatchStage`) and reports failure by raising:
`Retry` waits and calls it again, `Stop` ends the worker, anything else is that item's dead letter.
A stage never acknowledges, never drops an item and never sees one that is dead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from streams.pipeline.item import Item

I = TypeVar("I", bound=Item[Any])  # noqa: E741


class Stage(ABC, Generic[I]):
    """Handles one item at a time, `workers` of them at once. Results are written into the item."""

    name: str
    workers: int = 1
    alive: Callable[[], None] = staticmethod(lambda: None)
    """Call it when something takes long for a good reason: the watchdog then waits."""

    @abstractmethod
    async def process(self, item: I) -> None: ...


class BatchStage(ABC, Generic[I]):
    """Handles batches, `batches` of them at once. Marks single failures by `item.fail`.

    An exception other than `Retry` and `Stop` is the batch's fault, not an item's: the items are then tried
    one by one, so that only the one that raises again dies.
    """

    name: str
    batches: int = 1
    alive: Callable[[], None] = staticmethod(lambda: None)

    @abstractmethod
    def batcher(self) -> Batcher[I]: ...

    @abstractmethod
    async def process(self, items: Sequence[I]) -> None: ...


class Batcher(ABC, Generic[I]):
    """When a batch closes and what goes into it. Pure: the clock is handed in (`now`, monotonic seconds)."""

    @abstractmethod
    def add(self, item: I, now: float) -> None: ...

    @abstractmethod
    def due(self, now: float, *, idle: bool) -> float | None:
        """Seconds until a batch should close: 0 means now, None that nothing waits. `idle`: no batch is in work."""

    @abstractmethod
    def take(self) -> list[I]:
        """Close a batch: at least one item, the oldest among them. Only called when something waits."""

    @abstractmethod
    def full(self) -> bool:
        """Whether nothing more should be added for now (backpressure)."""
