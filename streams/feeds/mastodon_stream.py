"""The connection to a Mastodon server: one client for the stream in a thread of its own, one for the timelines.

Mastodon.py finds the streaming server, connects and signs in. It is not told to connect again by itself: it would hide
every end of a connection, and retry for ever with a wrong token. Its listener reads one byte at a time and ends at the
first malformed event, so ours reads the events itself.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import requests
from mastodon import StreamListener
from mastodon.errors import MastodonError
from urllib3.exceptions import HTTPError, ReadTimeoutError

from core.moments import read_moment
from core.text import one_line, shorten, without_secrets
from streams.feeds.channel import Channel
from streams.feeds.mastodon_session import READ_BYTES, client
from streams.feeds.source import Disconnected, Fault, FeedRefused
from streams.feeds.sse import Event, EventReader
from streams.feeds.tls import tls_fault

HELD, HELD_BYTES = 5000, 32_000_000
"""Most events, and bytes of events, that wait here. Beyond that, the server waits."""
AUTHORITIES = "REQUESTS_CA_BUNDLE"
"""Variable in which requests looks for the file of authorities. It does not read SSL_CERT_FILE."""


class Connected:
    """The stream's first item: the server streams."""


Item = Connected | Event | Exception


class Stream(StreamListener):
    """The events of one connection. `take` returns them, `Connected` first, and an error last."""

    def __init__(
        self, base: str, token: str | None, tag: str | None, local: bool, silence_s: float, is_known: bool
    ) -> None:
        """`is_known`: whether the server has streamed before. Then only a refusal of the token is for good."""
        super().__init__()
        self._is_known = is_known
        self._client, self._session = client(base, token)
        self._base, self._has_token, self._tag, self._local = base, token is not None, tag, local
        self._silence_s = silence_s
        self._channel: Channel[Item] = Channel(HELD, HELD_BYTES)
        self._closed = threading.Event()
        self._heard = time.monotonic()
        self.began = 0.0  # when the stream began, in Unix seconds by the server's clock
        self._ahead_s = 0.0  # of the server's clock before the monotonic one

    def start(self) -> None:
        """Connects in a thread."""
        threading.Thread(target=self._run, name="mastodon-stream", daemon=True).start()

    def take(self, timeout_s: float) -> list[Item]:
        """Returns the items since the last call, after waiting for the first one for at most this time."""
        return self._channel.take(timeout_s)

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    @property
    def now_s(self) -> float:
        """Unix seconds by the server's clock or by ours: the later one. Ids tell the time of the server's clock."""
        return max(time.time(), self._ahead_s + time.monotonic())

    @property
    def is_silent(self) -> bool:
        """Whether no event and no sign of life came for too long. A server that sends half a line is silent too."""
        return time.monotonic() - self._heard > self._silence_s

    def close(self) -> None:
        """Ends the connection, and a `take` that waits. For any thread."""
        self._closed.set()
        self._channel.close()
        self._session.abort()

    def handle_stream(self, response: Any) -> None:
        """Reads the events. Mastodon.py calls it with the open connection."""
        kind = response.headers.get("Content-Type", "")
        if not kind.startswith("text/event-stream"):
            kind = shorten(one_line(kind.partition(";")[0].strip()), 100, "...") or "nothing"
            raise self._failure("http", f"{self._base} sends {kind}, no event stream")
        sent = read_moment(response.headers.get("Date"))[0]
        self.began = sent.timestamp() if sent else time.time()
        self._heard = time.monotonic()
        self._ahead_s = self.began - self._heard
        if not self._channel.put(Connected()):
            return
        reader = EventReader()
        while not self._closed.is_set() and (piece := response.raw.read1(READ_BYTES, decode_content=True)):
            for event in reader.feed(piece):
                self._heard = time.monotonic()
                if not event.is_sign_of_life and not self._channel.put(event, len(event.raw)):
                    return
                self._heard = time.monotonic()

    def _run(self) -> None:
        try:
            if self._tag is not None:
                self._client.stream_hashtag(self._tag, self, local=self._local, timeout=self._silence_s)
            else:
                self._client.stream_public(self, local=self._local, timeout=self._silence_s)
            self._channel.put(Disconnected("network", "the server ended the stream"))
        except Exception as error:  # nothing may end this thread unseen
            self._channel.put(self._fault(error))
        finally:
            if self._session.last is not None:  # a refused stream is still open
                self._session.last.close()
            self._session.close()

    def _fault(self, error: Exception) -> Exception:
        answer = self._session.last
        if answer is not None and answer.status_code != 200:
            return self._refusal(answer)
        if fault := tls_fault(error, _host_of(error, self._base), AUTHORITIES):
            return fault if self._is_known else fault.refusal()
        causes = (error, *error.args)
        if any(isinstance(cause, ReadTimeoutError | requests.ReadTimeout) for cause in causes):
            return Disconnected("silent", f"nothing for {self._silence_s:g} s")
        if isinstance(error, OSError | HTTPError):
            return Disconnected("network", detail(error))
        if isinstance(error, MastodonError):  # such as a streaming address that is none
            return self._failure("http", f"{self._base}: {detail(error)}")
        return error

    def _refusal(self, answer: requests.Response) -> Exception:
        """Returns the error for a status other than 200."""
        code = answer.status_code
        if code == 429:
            return Disconnected("rate_limit", "HTTP 429", retry_at(answer))
        said = f"HTTP {code}"
        # A proxy's own page says nothing of the token. Mastodon says it in JSON.
        if code in {401, 403} and (not self._is_known or "json" in answer.headers.get("Content-Type", "")):
            where = f"create an application with the scope `read` at {self._base}/settings/applications"
            if self._has_token:
                return FeedRefused(f"{self._base} refuses the token ({said}); {where}, and put its token here")
            return FeedRefused(
                f"{self._base} asks for a token; {where}, and set MNER_MASTODON_TOKEN to its access token"
            )
        if code in {404, 410}:
            return self._failure("http", f"{self._base} has no public stream ({said})", retry_at(answer))
        return Disconnected("http", said, retry_at(answer))

    def _failure(self, fault: Fault, said: str, until: float | None = None) -> Exception:
        """Returns the error for an answer that is not Mastodon's. From a known server, it is a proxy's and passes."""
        if self._is_known:
            return Disconnected(fault, said, until)
        return FeedRefused(f"{said}; is --server the address of a Mastodon server?")


def retry_at(answer: requests.Response) -> float | None:
    """Returns the Unix time to wait for: `X-RateLimit-Reset` in ISO 8601 or Unix time, or `Retry-After`.

    Mastodon puts `X-RateLimit-Reset` on every answer. It asks for a wait only together with 429.
    """
    reset = read_moment(answer.headers.get("X-RateLimit-Reset"))[0] if answer.status_code == 429 else None
    if reset is not None:
        sent = read_moment(answer.headers.get("Date"))[0]  # the server's clock may differ
        return time.time() + (reset - sent).total_seconds() if sent else reset.timestamp()
    with suppress(TypeError, ValueError):
        return time.time() + float(answer.headers["Retry-After"]) if "Retry-After" in answer.headers else None
    return None


def _host_of(error: Exception, base: str) -> str:
    """Returns the host that was asked: the streaming server has another one on some servers."""
    request = getattr(error, "request", None)
    return urlsplit(getattr(request, "url", None) or base).netloc.rpartition("@")[2]


def detail(error: Exception) -> str:
    """Returns an error as one short line without secrets."""
    return shorten(one_line(without_secrets(str(error) or type(error).__name__)), 200, "...")
