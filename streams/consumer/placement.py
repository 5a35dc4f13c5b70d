"""Decides at which offset a group reads a partition.

Kafka keeps one number for each group and partition. It does not say of which log. The log may since have been cut (an
unclean election, a restored volume), deleted and made again, or shortened by retention. So each commit carries a note:
the topic's id, the leader epoch of the log, and the highest append time and the newest offset that the group had read.

A leader epoch is a number that grows whenever a broker becomes the leader of a partition. A log is cut only then. The
brokers tell at which offset an epoch ended. What was read beyond that offset in that epoch is no longer in the log.
A volume that was restored as a whole may use a number again. Then the append times tell that the log was cut.

The rule: where it is uncertain whether the group has read a record, the record is read. Reading a record again is
harmless (docs/delivery.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

Reason = Literal["committed", "new", "beyond", "recreated", "cut", "expired"]
"""Why a partition is read from an offset: `committed` and `new` are the ordinary ones."""

NOTE = re.compile(
    r"topic=(?P<topic>[0-9a-f-]{36})(?: epoch=(?P<epoch>\d+))?(?: read=(?P<time>\d+)@(?P<offset>-?\d+))?"
    r"(?: (?!epoch=|read=)\w+=\S+)*"
)
"""A later version may add fields at the end."""

MARGIN_MS = 1000
"""How far the clocks of two brokers may be apart, in ms."""

UNKNOWN = -1
"""What a log answers about the end of an epoch that it does not know."""


class Read(NamedTuple):
    """What a group has read of a partition that keeps the broker's time."""

    time: int
    """Highest append time, in ms."""

    offset: int
    """The newest record."""


class Known(NamedTuple):
    """What is known of a log that was read. None where nobody knows it."""

    read: Read | None = None
    epoch: int | None = None
    """The leader epoch, when it was last asked for."""


NOTHING = Known()


@dataclass(frozen=True)
class Commit:
    """What the brokers hold for a group and a partition."""

    offset: int
    note: str = ""

    @property
    def topic_id(self) -> str | None:
        """The topic's id when it was committed, None in a commit of another program."""
        match = NOTE.fullmatch(self.note)
        return match["topic"] if match else None

    @property
    def known(self) -> Known:
        match = NOTE.fullmatch(self.note)
        if match is None:
            return NOTHING
        read = Read(int(match["time"]), int(match["offset"])) if match["time"] else None
        return Known(read, int(match["epoch"]) if match["epoch"] else None)


def note(topic_id: str | None, known: Known) -> str:
    """Returns the note of a commit."""
    if topic_id is None:
        return ""
    epoch = "" if known.epoch is None else f" epoch={known.epoch}"
    return f"topic={topic_id}{epoch}" + (f" read={known.read.time}@{known.read.offset}" if known.read else "")


@dataclass(frozen=True)
class Log:
    """A partition's log as the brokers have it: offsets from `begin` up to, not including, `end`.

    The last three are None when nobody asked, or when there is no such offset.
    """

    begin: int
    end: int
    topic_id: str | None = None
    stable: int | None = None
    """The first offset of the oldest open transaction, or `end`."""

    epoch: int | None = None
    """None from brokers that do not tell it."""

    known_until: int | None = None
    """The offset at which the known leader epoch ended. `UNKNOWN`: the log has no such epoch."""

    unread: int | None = None
    """The first offset that was perhaps appended after all that the group had read."""

    newer: int | None = None
    """The first offset that was certainly appended after all that the group had read."""


@dataclass(frozen=True)
class Place:
    offset: int
    reason: Reason


@dataclass(frozen=True)
class Placed:
    """A partition, where it is read from, and what that follows from."""

    topic: str
    partition: int
    place: Place
    commit: Commit | None
    log: Log
    known: Known

    @property
    def unusual(self) -> bool:
        return self.place.reason not in ("committed", "new")

    @property
    def outdated(self) -> bool:
        """Whether the commit must be made again although nothing was read: it is too high, or tells nothing."""
        if self.unusual or self.commit is None:
            return self.unusual
        return self.place.offset < self.commit.offset or (
            self.commit.topic_id is None and self.log.topic_id is not None
        )


def place(
    commit: Commit | None,
    log: Log,
    *,
    read: Read | None = None,
    cut: bool = False,
    reached: int | None = None,
    topic_id: str | None = None,
) -> Place:
    """Returns where to read. Every reason but `committed` and `new` is worth a line in the log of the worker.

    `read`: what the group has read. `cut`: the log of this worker was seen to be another one than before. `reached`:
    how far this worker had read it when it was still the same. `topic_id`: the topic that this worker read last.
    """
    last = commit.topic_id if commit else topic_id  # Kafka forgets the commits of a topic that it deletes
    if last and log.topic_id and last != log.topic_id:
        return Place(log.begin, "recreated")
    if commit is None or commit.offset < log.begin:
        return Place(log.begin, "expired" if cut or (commit and commit.offset) else "new")
    offset, reason = _within(commit, log, read, cut=cut, reached=commit.offset if reached is None else reached)
    return Place(max(log.begin, min(offset, log.end)), reason)


def _within(commit: Commit, log: Log, read: Read | None, *, cut: bool, reached: int) -> tuple[int, Reason]:
    """Returns where to read a log that does not begin behind the commit. The offset may lie outside the log."""
    beyond, epoch_known = commit.offset > log.end, log.known_until not in (None, UNKNOWN)
    same = log.known_until if log.known_until is not None and epoch_known else commit.offset
    # the first offset that was not acknowledged, or that was appended after all that the group has read
    unread = log.begin if read is None else min(commit.offset, log.end if log.unread is None else log.unread)
    if same < reached:
        return min(commit.offset, same), "beyond" if beyond else "cut"
    if beyond or log.known_until == UNKNOWN or (cut and log.known_until is None):
        return unread, "cut" if log.known_until == UNKNOWN and not beyond else "beyond"
    if read and log.newer is not None and log.newer <= read.offset and log.newer < commit.offset:
        return unread, "cut"
    # with `cut`, another leader has appended what follows, perhaps after it was read
    return min(commit.offset, same) if cut else commit.offset, "committed"
