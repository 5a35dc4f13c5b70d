"""How far a partition was read, and how far it may be committed.

An offset may be committed when every record below it is acknowledged. Offsets without a record (compaction, transaction
markers, aborted transactions) are holes. The client steps over them, so a hole of any width costs nothing, wherever
it lies.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import InitVar, dataclass, field

from faust.types import TP

from streams.consumer.logs import Logs
from streams.consumer.placement import NOTHING, Known, Read, note


@dataclass(frozen=True)
class Seen:
    """What a partition was when it was last seen to be the log that is being read."""

    next: int
    known: Known


@dataclass
class Progress:
    """One partition since it was last positioned. Each positioning makes a new one, with a higher `epoch`."""

    epoch: int
    start: int
    """Offset at which reading began."""

    committed: int | None
    """What the brokers hold for the group, None when they hold nothing."""

    topic_id: str | None = None
    known: InitVar[Known] = NOTHING
    """What is known of the log below `start`."""

    reset: bool = False
    """Whether the commit must be made again: it is too high, or has no note."""

    read: Read | None = field(init=False)
    """None where the topic keeps the producers' times."""

    seen: Seen = field(init=False)

    next: int = field(init=False)
    """Every record below this offset was handed on."""

    last: int | None = field(default=None, init=False)
    """The newest record handed on, None before the first."""

    _open: OrderedDict[int, None] = field(default_factory=OrderedDict, init=False)

    def __post_init__(self, known: Known) -> None:
        self.next = self.start
        self.read = known.read
        self.seen = Seen(self.start, known)

    def hand_on(self, offset: int, time: int | None = None) -> int | None:
        """Notes a record that is handed on, with its append time in ms if the broker set one.

        Returns the record before it, or None for the first.
        """
        # what the producers stamped says nothing about the order of appending
        self.read = None if time is None else Read(max(time, self.read.time if self.read else 0), offset)
        before = self.last
        self.last = offset
        self.next = offset + 1
        self._open[offset] = None
        return before

    def read_to(self, position: int) -> None:
        """Notes that no further record lies below `position`."""
        self.next = max(self.next, position)

    @property
    def note(self) -> str:
        """The note of a commit. Its leader epoch may be too old, which does no harm, but never too new."""
        return note(self.topic_id, Known(self.read, self.seen.known.epoch))

    def acknowledge(self, offset: int) -> bool:
        """Returns False for an offset that is not open."""
        if offset not in self._open:
            return False
        del self._open[offset]
        return True

    @property
    def done(self) -> int:
        """The offset that may be committed."""
        return next(iter(self._open), self.next)

    @property
    def held(self) -> bool:
        """Whether records were handed on that are not acknowledged yet."""
        return bool(self._open)

    @property
    def due(self) -> bool:
        """Whether the brokers must be told. A new group commits nothing before its first record."""
        held = self.start if self.committed is None else self.committed
        return self.done > held or self.reset


@dataclass
class Account:
    """What a consumer and its thread share. Of a `Progress`, the thread changes only `committed` and `reset`, and the
    consumer only the other fields."""

    logs: Logs
    agent: str
    """The agent's name in metrics."""

    progress: dict[TP, Progress] = field(default_factory=dict)
    offered: dict[TP, tuple[Progress, int]] = field(default_factory=dict)
    """What is about to be committed."""
