"""One connection to the filtered stream. It is never opened again: a new one takes its place."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any

import requests
import tweepy
import urllib3

from core.errors import first_line
from core.moments import read_moment
from core.text import one_line, shorten
from streams.feeds.channel import Channel
from streams.feeds.source import Disconnected, FeedRefused
from streams.feeds.x.answers import MAX_DETAIL, answer
from streams.feeds.x.session import ApiSession

MAX_LINE = 4_000_000
"""Largest line, in bytes. A post with everything that it includes has some ten kilobytes."""
MAX_BODY = 65_536
"""How many bytes of an error's body are read."""

LINES, LINE_BYTES = 2000, 16_000_000
"""Largest number of lines, and of their bytes, that are received and not yet taken."""

QUERY = {
    "expansions": "author_id,attachments.media_keys,referenced_tweets.id,referenced_tweets.id.author_id",
    "tweet_fields": "created_at,lang,note_tweet,edit_history_tweet_ids,referenced_tweets,attachments,author_id",
    "media_fields": "url,type,alt_text",
    "user_fields": "name,username",
}
"""What X is asked for: what a post of ours keeps. Places are not asked for."""


class Connection(tweepy.StreamingClient):  # type: ignore[misc]
    """Reads the stream in a thread of its own. `lines` yields what arrives.

    tweepy calls the methods whose names begin with `on_`. None of them reads a message, so none can fail on one.
    """

    def __init__(self, session: ApiSession) -> None:
        super().__init__("unused", daemon=True, max_retries=0)
        self.session = session
        self.session.hooks["response"].append(self._answered)
        self._channel: Channel[bytes | None] = Channel(LINES, LINE_BYTES)
        self._taken: deque[bytes | None] = deque()
        self._response: requests.Response | None = None
        self._ending: Disconnected | FeedRefused | None = None
        self._is_decided = threading.Event()
        self._is_closed = threading.Event()
        self.opened_at = time.monotonic()

    def start(self) -> None:
        """Connects. Returns when X has accepted the connection. Raises `Disconnected` or `FeedRefused`."""
        self.filter(threaded=True, **QUERY)
        self._is_decided.wait()
        self.opened_at = time.monotonic()
        if self._ending is not None:
            raise self._ending

    def lines(self, wait_s: float) -> Iterator[bytes | None]:
        """Yields each line that is not empty, and None whenever none came for `wait_s` seconds.

        Raises `Disconnected` or `FeedRefused` when the connection ends. Returns only after `close`.
        """
        while not self._is_closed.is_set():
            if not self._taken:
                self._taken.extend(self._channel.take(wait_s))
            if not self._taken:
                yield None
                continue
            line = self._taken.popleft()
            if line is None:
                raise self._ending or Disconnected("network", "X closed the connection")
            yield line

    def waiting(self) -> Iterator[bytes]:
        """Yields the lines that are there already. Ends as `lines` does."""
        for line in self.lines(0.0):
            if line is None:
                return
            yield line

    def close(self) -> None:
        """Ends the connection. For any thread, also while `lines` waits."""
        self._is_closed.set()
        self.disconnect()
        self._channel.close()
        if self._response is not None:
            with contextlib.suppress(Exception):  # it may have ended by itself meanwhile
                self._response.raw.shutdown()

    @property
    def server_time(self) -> float:
        """The Unix time at which X accepted the connection, by its clock, or by ours if it tells none."""
        sent = read_moment(self._response.headers.get("Date") if self._response is not None else None)[0]
        return time.time() if sent is None else sent.timestamp()

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed.is_set()

    def _end(self, error: Disconnected | FeedRefused) -> None:
        """Notes why the connection ends. The first reason counts."""
        self._ending = self._ending or error
        self.disconnect()

    def _answered(self, response: requests.Response, **_: Any) -> None:
        """Takes the response before tweepy has it. Requests calls this for each response, also for a redirection."""
        self._response = response
        response.iter_lines = partial(self._cut, response)  # type: ignore[method-assign]

    def _cut(self, response: requests.Response, chunk_size: int = 512) -> Iterator[bytes]:
        """Yields the lines of the body. The stream ends with it: tweepy would connect again."""
        rest = bytearray()
        for chunk in response.iter_content(chunk_size):
            rest += chunk
            if b"\n" in chunk:
                *lines, last = rest.split(b"\n")
                yield from (bytes(line).rstrip(b"\r") for line in lines)
                rest = last
            if len(rest) > MAX_LINE:
                self._end(Disconnected("network", f"a line of more than {MAX_LINE:,} bytes"))
                return
        if rest.strip():
            yield bytes(rest)
        self.disconnect()

    # called by tweepy

    def on_connect(self) -> None:
        self._is_decided.set()

    def on_data(self, raw_data: bytes) -> None:
        if raw_data.strip() and not self._channel.put(raw_data, len(raw_data)):
            self.disconnect()

    def on_keep_alive(self) -> None:
        pass  # the time limit of the socket starts again with each byte

    def on_request_error(self, status_code: int) -> None:
        response = self._response
        body = b""
        if response is not None:
            with contextlib.suppress(requests.RequestException):
                body = next(response.iter_content(MAX_BODY), b"")
        self._end(answer(status_code, response.headers if response is not None else {}, body))

    def on_connection_error(self) -> None:
        self._end(broken(sys.exception()))

    def on_exception(self, exception: Exception) -> None:
        self._end(broken(exception))

    def on_closed(self, response: requests.Response) -> None:
        self._end(Disconnected("network", "X closed the connection"))

    def on_disconnect(self) -> None:
        self._channel.put(None)
        self._is_decided.set()


def broken(error: BaseException | None) -> Disconnected:
    """Returns why the network ended a connection or a request. Silence is a fault of its own."""
    inner = error.args[0] if error is not None and error.args else None
    if isinstance(error, requests.ReadTimeout) or isinstance(inner, urllib3.exceptions.ReadTimeoutError):
        return Disconnected("silent", "nothing arrives, and no sign of life")
    said = first_line(error) if isinstance(error, Exception) else "the connection broke"
    return Disconnected("network", shorten(one_line(said), MAX_DETAIL))
