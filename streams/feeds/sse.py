"""Reads server-sent events (HTML standard, 9.2) from bytes as they arrive. Lines end with a line feed, as in Mastodon.

Mastodon.py reads them one byte at a time, and ends at the first event that is malformed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

MAX_EVENT = 2_000_000
"""Largest event, in bytes. What is beyond is dropped, and the event is `too_long`."""


@dataclass(frozen=True)
class Event:
    """One event. A comment, which servers send as a sign of life, is an event without name and data."""

    name: str = ""
    data: bytes | None = None
    too_long: bool = False
    #: The lines of the event, without the last empty one.
    raw: bytes = b""

    @property
    def is_sign_of_life(self) -> bool:
        return not self.name and self.data is None and not self.too_long and self.raw.startswith(b":")


class EventReader:
    """Cuts a stream into events of at most `MAX_EVENT` bytes."""

    def __init__(self) -> None:
        self._rest = bytearray()  # the beginning of a line
        self._lines = bytearray()  # whole lines, each with its line feed: one object, since a short one needs 60 bytes
        self._size = 0
        self._too_long = False

    def feed(self, piece: bytes) -> Iterator[Event]:
        """Takes bytes, and yields the events that they complete."""
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            is_dropped = self._too_long
            self._hold(piece[start:end])
            self._size += 1
            line = bytes(self._rest).removesuffix(b"\r")
            self._rest.clear()
            start = end + 1
            if line.startswith(b":") and not self._lines:
                self._size, self._too_long = 0, False
                yield Event(raw=line)
            elif line:
                self._lines += b"" if is_dropped and self._lines else line + b"\n"
            elif self._lines:
                yield self._event()
            else:
                self._size = 0
        self._hold(piece[start:])

    def _hold(self, part: bytes) -> None:
        """Keeps a part of a line. Two bytes of each line tell whether it is empty, also where the rest is dropped."""
        self._rest += part[: max(2 - len(self._rest), MAX_EVENT - self._size, 0)]
        self._size += len(part)
        self._too_long |= self._size > MAX_EVENT

    def _event(self) -> Event:
        raw = bytes(self._lines[:-1])
        name, data = "", bytearray()
        for line in BytesIO(raw):  # one line at a time
            field, _, value = line.removesuffix(b"\n").partition(b":")
            value = value.removeprefix(b" ")
            if field == b"event":
                name = value.decode("utf-8", "replace")
            elif field == b"data":
                data += value + b"\n"
        event = Event(name, bytes(data[:-1]) if data else None, self._too_long, raw)
        self._lines.clear()
        self._size, self._too_long = 0, False
        return event
