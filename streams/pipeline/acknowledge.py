"""Acknowledges events strictly in offset order in each partition.

`streams.consumer` commits only offsets below which all is acknowledged. An event that finishes early waits here for all
events before it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from streams.pipeline.item import Origin

Acknowledge = Callable[[], Awaitable[object]]

COMMIT_INTERVAL_S = 1.0
"""Time, in seconds, between two commits of the acknowledged offsets."""


@dataclass
class _Entry:
    acknowledge: Acknowledge
    timestamp: float  # of the record, Unix seconds
    done: bool = False


@dataclass
class _Partition:
    generation: int
    entries: OrderedDict[int, _Entry] = field(default_factory=OrderedDict)


class InOrder:
    """Tracks open events in each partition and acknowledges finished ones once no earlier event is open.

    After a rebalance, a partition starts again at its committed offset, under a new generation. The open events of the
    old generation are forgotten here, since Kafka delivers them again.
    """

    def __init__(self) -> None:
        self._partitions: dict[tuple[str, int], _Partition] = {}
        self.open = 0

    def taken(self, origin: Origin, acknowledge: Acknowledge) -> int:
        """Notes a new event. Must be called in offset order for each partition.

        Returns how many events of an older generation it forgets.
        """
        key = (origin.topic, origin.partition)
        partition = self._partitions.get(key)
        forgotten = 0
        newest = next(reversed(partition.entries), -1) if partition else -1
        if partition is None or partition.generation != origin.generation or origin.offset <= newest:
            forgotten = len(partition.entries) if partition else 0
            partition = self._partitions[key] = _Partition(origin.generation)
        partition.entries[origin.offset] = _Entry(acknowledge, origin.timestamp)
        self.open += 1 - forgotten
        return forgotten

    def oldest(self) -> float | None:
        """Returns the time of the oldest open event, in Unix seconds, or None if none is open."""
        firsts = (next(iter(partition.entries.values()), None) for partition in self._partitions.values())
        return min((entry.timestamp for entry in firsts if entry), default=None)

    async def done(self, origin: Origin) -> int:
        """Notes that an event is finished, and acknowledges the events that no open event precedes.

        Returns the number of events that it acknowledged.
        """
        partition = self._partitions.get((origin.topic, origin.partition))
        if partition is None or partition.generation != origin.generation or origin.offset not in partition.entries:
            return 0  # of an older generation, which Kafka delivers again
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
