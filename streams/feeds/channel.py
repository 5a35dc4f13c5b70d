"""A queue between two threads that is bounded by the number and the bytes of its items."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Channel(Generic[T]):
    """`put` waits while the channel is full. `take` returns all items at once."""

    def __init__(self, items: int, most_bytes: int) -> None:
        self._items, self._most_bytes = items, most_bytes
        self._queue: deque[T] = deque()
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T, size: int = 0) -> bool:
        """Adds an item of `size` bytes. Returns False, and adds nothing, once the channel is closed.

        An item that is larger than the channel fits into an empty one.
        """
        with self._changed:
            while not self._closed and self._queue and not self._fits(size):
                self._changed.wait()
            if self._closed:
                return False
            self._queue.append(item)
            self._bytes += size
            self._changed.notify_all()
            return True

    def _fits(self, size: int) -> bool:
        return len(self._queue) < self._items and self._bytes + size <= self._most_bytes

    def take(self, timeout_s: float) -> list[T]:
        """Returns the items in the channel, after waiting for the first one for at most this time."""
        with self._changed:
            if not self._queue:
                self._changed.wait(timeout_s)
            taken = list(self._queue)
            self._queue.clear()
            self._bytes = 0
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Makes every `put` return False, including one that waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
