"""Acknowledge strictly in offset order per partition.

Faust commits one past the highest acknowledged offset that it believes to be gapless, and that belief can be wrong by
one while events are in flight (docs/delivery.md). So a completion that comes early is held back until all before it
are done; then no gap can exist.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from streams.pipeline.item import Origin

Acknowledge = Callable[[], Awaitable[object]]


@dataclass
class _Entry:
    acknowledge: Acknowledge
    done: bool = False


@dataclass
class _Partition:
    generation: int
    entries: OrderedDict[int, _Entry] = field(default_factory=OrderedDict)


class InOrder:
    """Tracks what was taken, per partition; acknowledges a run of completions once nothing before it is open.

    After a rebalance a partition starts again at its committed offset under a new generation: what was in flight
    under the old one is forgotten here, for it will be delivered again, to us or to somebody else.
    """

    def __init__(self) -> None:
        self._partitions: dict[tuple[str, int], _Partition] = {}
        self.open = 0

    def taken(self, origin: Origin, acknowledge: Acknowledge) -> int:
        """An event was taken from its partition; called in offset order. Returns how many older ones that forgot."""
        key = (origin.topic, origin.partition)
        partition = self._partitions.get(key)
        forgotten = 0
        newest = next(reversed(partition.entries), -1) if partition else -1
        if partition is None or partition.generation != origin.generation or origin.offset <= newest:
            forgotten = len(partition.entries) if partition else 0
            partition = self._partitions[key] = _Partition(origin.generation)
        partition.entries[origin.offset] = _Entry(acknowledge)
        self.open += 1 - forgotten
        return forgotten

    async def done(self, origin: Origin) -> int:
        """The event is where it should be. Returns how many were acknowledged by that: 0 when one before is open."""
        partition = self._partitions.get((origin.topic, origin.partition))
        if partition is None or partition.generation != origin.generation or origin.offset not in partition.entries:
            return 0  # of an older generation: somebody else answers for it now
        partition.entries[origin.offset].done = True
        ready: list[Acknowledge] = []
        while partition.entries:
            offset, entry = next(iter(partition.entries.items()))
            if not entry.done:
                break
            del partition.entries[offset]
            ready.append(entry.acknowledge)
        self.open -= len(ready)
        for acknowledge in ready:
            await acknowledge()
        return len(ready)
