"""Decides at which offset a group reads a partition.

Kafka keeps one number for each group and partition. It does not say of which log. The log may since have been cut (an
unclean election, a restored volume), deleted and made again, or shortened by retention. So each commit carries a note:
the topic's id, and the highest append time and the newest offset that the group had read.

The rule: where it is uncertain whether the group has read a record, the record is read. Reading a record again is
harmless (docs/delivery.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

Reason = Literal["committed", "new", "beyond", "recreated", "cut", "expired"]
"""Why a partition is read from an offset: `committed` and `new` are the ordinary ones."""

NOTE = re.compile(r"topic=(?P<topic>[0-9a-f-]{36})(?: read=(?P<time>\d+)@(?P<offset>\d+))?")


class Read(NamedTuple):
    """What a group has read of a partition that keeps the broker's time."""

    time: int
    """Highest append time, in ms."""

    offset: int
    """The newest record."""


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
    def read(self) -> Read | None:
        match = NOTE.fullmatch(self.note)
        return Read(int(match["time"]), int(match["offset"])) if match and match["time"] else None


def note(topic_id: str | None, read: Read | None) -> str:
    """Returns the note of a commit."""
    if topic_id is None:
        return ""
    return f"topic={topic_id}" + (f" read={read.time}@{read.offset}" if read else "")


@dataclass(frozen=True)
class Log:
    """A partition's log as the brokers have it: offsets from `begin` up to, not including, `end`."""

    begin: int
    end: int
    topic_id: str | None = None
    newer: int | None = None
    """The first offset appended after all that the group had read. None when there is none, or nobody asked."""


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
    read: Read | None

    @property
    def unusual(self) -> bool:
        return self.place.reason not in ("committed", "new")


def place(
    commit: Commit | None, log: Log, *, read: Read | None = None, cut: bool = False, topic_id: str | None = None
) -> Place:
    """Returns where to read. Every reason but `committed` and `new` is worth a line in the log of the worker.

    `read`: what the group has read. `cut`: the position of this worker was seen to be outside the log. `topic_id`: the
    topic that this worker read last.
    """
    known = commit.topic_id if commit else topic_id  # Kafka forgets the commits of a topic that it deletes
    if known and log.topic_id and known != log.topic_id:
        return Place(log.begin, "recreated")
    if commit is None or commit.offset < log.begin:
        return Place(log.begin, "expired" if cut or (commit and commit.offset) else "new")
    if cut or commit.offset > log.end:
        return Place(_unread(commit, log) if read else log.begin, "beyond")
    if read and log.newer is not None and log.newer < commit.offset:
        # if `newer` lies behind the newest record read, it is in a hole, such as an aborted transaction: reading that
        # again costs nothing
        return Place(_unread(commit, log), "cut" if log.newer <= read.offset else "committed")
    return Place(commit.offset, "committed")


def _unread(commit: Commit, log: Log) -> int:
    """Returns the first offset that the group has not acknowledged, or that was appended after all that it has read."""
    appended = log.end if log.newer is None else log.newer
    return max(log.begin, min(commit.offset, appended))
