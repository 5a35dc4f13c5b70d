"""The base classes of stages. A pipeline runs its stages side by side, joined by bounded queues.

A stage handles one item (`Stage`) or a batch (`BatchStage`) and reports failure by raising. After `Retry`, the pipeline
waits and calls the stage again. `Stop` ends the worker. Any other exception makes the item a dead letter. A stage never
acknowledges, never drops an item and never sees a dead one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from streams.pipeline.item import Item

I = TypeVar("I", bound=Item[Any])  # noqa: E741


class Stage(ABC, Generic[I]):
    """Handles one item in each call, with `workers` calls at once. It writes its results into the item."""

    name: str
    workers: int = 1
    alive: Callable[[], None] = staticmethod(lambda: None)
    """A stage calls this when it takes long for a good reason. The watchdog then waits."""

    @abstractmethod
    async def process(self, item: I) -> None: ...


class BatchStage(ABC, Generic[I]):
    """Handles a batch in each call, with `batches` calls at once. It marks single failures with `item.fail`.

    After an exception other than `Retry` and `Stop`, the batch is halved until the item that raises is alone.
    """

    name: str
    batches: int = 1
    alive: Callable[[], None] = staticmethod(lambda: None)

    @abstractmethod
    def batcher(self) -> Batcher[I]: ...

    @abstractmethod
    async def process(self, items: Sequence[I]) -> None: ...


class Batcher(ABC, Generic[I]):
    """Decides when a batch closes and what goes into it. `now` is the time in monotonic seconds."""

    @abstractmethod
    def add(self, item: I, now: float) -> None: ...

    @abstractmethod
    def due(self, now: float, *, idle: bool) -> float | None:
        """Returns the seconds until a batch should close. 0 means now; None means that nothing waits.

        `idle`: no batch is being processed.
        """

    @abstractmethod
    def take(self) -> list[I]:
        """Closes a batch of at least one item, the oldest included. Only called when something waits."""

    @abstractmethod
    def full(self) -> bool:
        """Returns whether nothing more should be added for now, for backpressure."""
