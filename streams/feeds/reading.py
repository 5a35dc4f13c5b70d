"""The thread that reads a source, waits between connections, and passes on the messages in order."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.events import Tweet
from streams.feeds.channel import Channel
from streams.feeds.source import Began, Disconnected, Gap, Message, Received, Source, Steps

MESSAGES, MESSAGE_BYTES = 2000, 16_000_000
"""Largest number of messages, and of their bytes, that are read and not yet sent."""

OVERHEAD = 1000
"""Bytes that a message is taken to have besides its texts, addresses and cursor."""

OTHERWISE = Steps(1.0, 60.0)
"""Back-off for a fault that the source's table lacks."""

LONGEST_WAIT_S = 86_400.0
"""Longest wait, in seconds, that a platform may ask for."""

LEAVE_S = 2.0
"""Longest time, in seconds, that a source may take to end."""


@dataclass(frozen=True)
class Ended:
    """The source has no more messages, or it failed with this error."""

    error: BaseException | None = None


Item = Message | Disconnected | Ended


class Reader:
    """Reads a source in a thread of its own. `items` returns the messages; the last item is `Ended`."""

    def __init__(self, source: Source, cursor: str | None, since: datetime | None) -> None:
        self._source = source
        self._cursor, self._since = cursor, since
        self._failures: Counter[str] = Counter()  # in a row, by fault
        self._stopping = threading.Event()
        self._context: AbstractContextManager[Any] | None = None
        self._lock = threading.Lock()
        self._channel: Channel[Item] = Channel(MESSAGES, MESSAGE_BYTES)
        self._thread = threading.Thread(target=self._run, name=f"feed-{source.name}", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def items(self, timeout_s: float) -> list[Item]:
        """Returns the items since the last call, after waiting for the first one for at most this time."""
        return self._channel.take(timeout_s)

    def stop(self) -> None:
        """Leaves the source and waits for the thread, for at most `LEAVE_S`. Drops the items that were not taken."""
        self._stopping.set()
        self._channel.close()
        with contextlib.suppress(Exception):  # a connection that fails to end must not keep the cursor from being saved
            self._leave()
        if self._thread.ident is not None:
            self._thread.join(LEAVE_S)

    def _leave(self) -> None:
        with self._lock:
            context, self._context = self._context, None
        if context is not None:
            context.__exit__(None, None, None)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._read()
                    break
                except Disconnected as ended:
                    if not self._channel.put(ended):
                        return
                    self._leave()  # an open connection would count against the platform's limit, or hold memory
                    self._wait(ended)
                finally:
                    self._leave()
            self._channel.put(Ended())
        except BaseException as error:  # nothing may end this thread unseen: the main thread raises it
            self._channel.put(Ended(error))

    def _read(self) -> None:
        """Reads one connection to its end."""
        context = self._source.open(self._cursor, self._since)
        messages = context.__enter__()
        with self._lock:
            self._context = context
        if self._stopping.is_set():
            return
        for message in messages:
            if isinstance(message, Received):
                self._failures.clear()
                if message.cursor is not None:
                    self._cursor, self._since = message.cursor, None
            elif isinstance(message, Began):
                self._cursor, self._since = message.cursor, None
            if not self._channel.put(message, size(message)):
                return

    def _wait(self, ended: Disconnected) -> None:
        """Waits as the platform asks. The waits of each fault grow on their own until a message arrives."""
        self._failures[ended.fault] += 1
        steps = self._source.backoff.get(ended.fault, OTHERWISE)
        wait_s = steps.wait(self._failures[ended.fault])
        if ended.retry_at is not None and math.isfinite(ended.retry_at):
            wait_s = max(wait_s, min(LONGEST_WAIT_S, ended.retry_at - time.time()))
        self._stopping.wait(wait_s)


def size(message: Message) -> int:
    """Returns the bytes of memory that a message is taken to need."""
    if isinstance(message, Gap):
        return OVERHEAD
    needed = OVERHEAD + len(message.cursor or "")
    if isinstance(message, Began):
        return needed
    adapted = message.adapted
    texts = sum(4 * _length(post) for post in adapted.posts) + sum(map(len, adapted.lines))
    return needed + texts + len(message.raw or b"")


def _length(post: Tweet) -> int:
    """Returns the characters of a post's texts. Python keeps up to four bytes for each."""
    return len(post.text) + sum(len(item.alt or "") + len(item.url or "") for item in post.media)
