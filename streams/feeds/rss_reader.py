"""Reads feeds in a process of its own. A document that takes the parser too long costs only itself.

Some documents of 10 kB would keep feedparser busy for seconds, and some of 8 MB for days, and no signal ends that.
"""

from __future__ import annotations

import os

from pydantic import BaseModel, ConfigDict, TypeAdapter

from core.child import ChildFailed, ChildProcess, Receive, receive_frame
from core.child_socket import frame
from streams.feeds.adapters.feed_bytes import NotAFeed
from streams.feeds.adapters.rss import Entry
from streams.feeds.source import Disconnected

START_S = 60.0
"""Longest time, in seconds, for a start, which imports feedparser and more."""
READ_S = 20.0
"""Longest time, in seconds, for one document. The largest feed that is no attack needs some five."""
MAX_REPLY = 64_000_000
"""Largest reply, in bytes."""
KEPT_ENVIRONMENT = ("LD_LIBRARY_PATH", "PYTHONHOME")
"""Variables that an interpreter may need to start. The process gets no other one, so no token."""


class _Reply(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    ready: bool = False
    entries: list[Entry] = []
    fault: str | None = None


_REPLY = TypeAdapter(_Reply)


class FeedReader:
    """Reads one document at a time. Starts its process when it needs one."""

    def __init__(self, timeout_s: float = READ_S) -> None:
        """`timeout_s`: longest time, in seconds, for one document."""
        kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
        self._child = ChildProcess("streams.feeds.rss_child", [], environment=kept, cwd="/")
        self._timeout_s = timeout_s

    async def read(self, body: bytes, content_type: str, feed: str) -> list[Entry]:
        """Returns the entries of a document. See `streams.feeds.adapters.rss.read_feed`.

        Raises `NotAFeed`, also for a document that takes too long, and `Disconnected` if no process can be started.
        """
        if not self._child.ready:
            try:
                await self._child.start(b"", _read, START_S)
            except ChildFailed as fault:
                raise Disconnected("network", f"the process that reads feeds {fault}") from None
        parts = (content_type.encode("utf-8", "replace"), feed.encode("utf-8", "replace"), body)
        try:
            reply = await self._child.exchange(b"".join(map(frame, parts)), _read, self._timeout_s)
        except ChildFailed as fault:
            if fault.kind == "timeout":
                raise NotAFeed(f"the document cannot be read within {self._timeout_s:g} s") from None
            raise NotAFeed(f"the process that reads the document {fault}") from None
        if reply.fault is not None:
            raise NotAFeed(reply.fault)
        return reply.entries

    def stop(self) -> None:
        """Kills the process for good. What it reads fails. For any thread."""
        self._child.stop()

    async def end(self) -> None:
        """Collects the process. To call last."""
        self._child.stop()
        await self._child.end()


async def _read(receive: Receive) -> _Reply:
    return _REPLY.validate_json(await receive_frame(receive, MAX_REPLY))
