"""Bluesky's posts from a Jetstream server: JSON over a websocket, without an account or a key.

The protocol is version 1, at the path `/subscribe`. The package `atproto_jetstream` speaks only version 2. It also
connects again by itself and moves its own cursor, which the runner must do.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode, urlsplit

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidProxy, InvalidStatus, InvalidURI
from websockets.frames import CloseCode
from websockets.sync.client import ClientConnection, connect

from core.errors import UserError
from core.moments import read_moment
from core.text import one_line, without_secrets
from streams.feeds.adapters.bluesky import POSTS, SOURCE, adapt
from streams.feeds.source import Began, Disconnected, Fault, FeedRefused, Gap, Message, Steps, damaged
from streams.feeds.tls import tls_fault

SERVER = "wss://jetstream2.us-east.bsky.network/subscribe"
"""A public server of Bluesky. Others are jetstream1 and jetstream2 in us-east and us-west, and jetstream.us-east."""

REWIND_US = 5_000_000
"""How far before the cursor a connection starts, in microseconds. Servers differ by some seconds."""

GAP_S = 60.0
"""If the first message is this much later than the cursor, in seconds, the server no longer had what lies between."""

MOST_BYTES = 1_000_000
"""Largest frame that the server is asked for. A post has a few kB."""

LIMIT_TIMES = 16
"""A frame of this many times `MOST_BYTES` ends the connection. It does not fit into our memory."""

PASS_US = 1_000_000
"""How far, in microseconds, the first step over such a frame goes. Each further step is twice as long."""

HOST = re.compile(r"[^\s/@\\<>\"]+")
CURSOR = re.compile(r"\d{1,18}", re.ASCII)
OPEN_S, CLOSE_S = 20.0, 1.0
REFUSALS = {400, 401, 403, 404, 405, 410, 426}
"""HTTP codes that another attempt will not change."""


class Bluesky:
    """A Jetstream server. The cursor is `time_us` of the last message, which all servers understand."""

    name = SOURCE

    def __init__(self, server: str = SERVER, heartbeat_s: float = 30.0) -> None:
        """Raises `UserError` unless `server` is the address of a websocket."""
        try:
            parts = urlsplit(server)
            host, port = parts.hostname or "", parts.port
            host.encode("idna")
        except (ValueError, UnicodeError):  # a wrong port, an open bracket, an empty part of the name
            host, parts = "", urlsplit("")
        if parts.scheme not in {"ws", "wss"} or not HOST.fullmatch(host) or parts.fragment:
            raise UserError(f"--server {without_secrets(server)!r} is no websocket; write wss://HOST/subscribe")
        self._server = server if parts.path not in {"", "/"} else server.rstrip("/") + "/subscribe"
        self._host = parts.netloc.rpartition("@")[2]
        path = urlsplit(self._server)
        rest = f"{path.path}?{path.query}".removesuffix("?")
        rest = "" if rest == "/subscribe" else rest
        is_public = host.endswith(".bsky.network")  # they serve the same stream by the same cursor
        name = "" if is_public else f"{host}:{port}" if port else host
        self.identity = ":".join(part for part in (SOURCE, name + rest) if part)
        self.heartbeat_s: float | None = heartbeat_s
        self.backoff: dict[Fault, Steps] = {
            "network": Steps(1.0, 60.0),
            "http": Steps(5.0, 320.0),
            "rate_limit": Steps(60.0, 960.0),
            "silent": Steps(1.0, 60.0),
        }
        self._has_connected = False
        self._floor_us = self._step_us = 0  # where the last step over a frame that was too large ended; its length

    @contextmanager
    def open(self, cursor: str | None, since: datetime | None) -> Iterator[Iterator[Message]]:
        """Connects a few seconds before the cursor. See `streams.feeds.source`."""
        if cursor is not None and not CURSOR.fullmatch(cursor):
            raise damaged(cursor)
        start = int(cursor) if cursor is not None else int(since.timestamp() * 1e6) if since is not None else None
        with ExitStack() as stack:
            begin = None if start is None else max(start - REWIND_US, self._floor_us)
            socket = self._connect(begin, stack)
            yield self._messages(socket, start, begin, is_new=cursor is None)

    def _connect(self, begin: int | None, stack: ExitStack) -> ClientConnection:
        query = {"wantedCollections": POSTS, "maxMessageSizeBytes": str(MOST_BYTES)}
        if begin is not None:
            query["cursor"] = str(begin)
        address = f"{self._server}{'&' if urlsplit(self._server).query else '?'}{urlencode(query)}"
        try:
            socket = stack.enter_context(
                connect(
                    address,
                    open_timeout=OPEN_S,
                    close_timeout=CLOSE_S,
                    ping_interval=None,  # an answer to a ping does not prove that the stream is alive
                    max_size=LIMIT_TIMES * MOST_BYTES,
                )
            )
        except InvalidStatus as error:
            raise self._refusal(error) from None
        except InvalidURI as error:
            raise FeedRefused(f"--server {self._host}: {one_line(without_secrets(str(error)))}") from None
        except (InvalidProxy, ImportError, NotImplementedError) as error:  # of the variables HTTPS_PROXY and its like
            said = one_line(without_secrets(str(error)))
            raise FeedRefused(f"the proxy cannot be used: {said}; correct or unset HTTPS_PROXY") from None
        except (OSError, InvalidHandshake, EOFError) as error:
            if fault := tls_fault(error, self._host, plain="ws"):
                raise fault if self._has_connected else fault.refusal() from None
            raise Disconnected("network", f"{self._host}: {one_line(str(error) or type(error).__name__)}") from None
        self._has_connected = True
        return socket

    def _refusal(self, error: InvalidStatus) -> Exception:
        """Returns the error for an answer other than a websocket."""
        code = error.response.status_code
        if code == 429:
            return Disconnected("rate_limit", f"{self._host}: HTTP 429", _retry_at(error.response.headers))
        if code in REFUSALS and not self._has_connected:
            return FeedRefused(f"{self._host} answers with HTTP {code}; is --server the address of a Jetstream server?")
        return Disconnected("http", f"{self._host}: HTTP {code}", _retry_at(error.response.headers))

    def _messages(
        self, socket: ClientConnection, start: int | None, begin: int | None, *, is_new: bool
    ) -> Iterator[Message]:
        clock = _ServerClock(socket)
        if is_new:
            yield Began(str(clock.began_us if start is None else start))
        highest, reached = start, clock.began_us if begin is None else begin
        is_first = True
        assert self.heartbeat_s is not None
        while True:
            try:
                payload = socket.recv(timeout=2 * self.heartbeat_s, decode=False)
            except TimeoutError:
                raise Disconnected("silent", f"{self._host}: nothing for {2 * self.heartbeat_s:g} s") from None
            except ConnectionClosed as error:
                if error.sent is not None and error.sent.code == CloseCode.MESSAGE_TOO_BIG and not error.rcvd_then_sent:
                    yield self._passed_over(reached, clock.now_us)
                raise Disconnected("network", f"{self._host}: {one_line(str(error))}") from None
            message = adapt(payload)
            if message.cursor is None:
                yield message
                continue
            at_us = int(message.cursor)
            # A frame with a time in the future must not move the cursor: what is published until then would be lost.
            if clock.has_reached(at_us):
                known_us = None if begin is None else max(begin, highest or 0)
                if is_first and known_us is not None and at_us - known_us > GAP_S * 1e6:
                    yield Gap(f"{self._host} no longer has what followed the cursor", known_us / 1e6, message.at)
                is_first = False
                reached = max(reached, at_us)
                highest = max(highest or 0, at_us)  # a replay begins before the cursor, which must not go back with it
            cursor = None if highest is None else str(highest)
            # a `start` that is no cursor has no earlier run
            yield replace(message, cursor=cursor, is_repeated=not is_new and at_us <= (start or 0))

    def _passed_over(self, reached_us: int, now_us: int) -> Gap:
        """Lets the next connections begin later, after a frame that was too large. Its time is unknown.

        Otherwise, each connection would end at this frame again.
        """
        self._step_us = 2 * self._step_us if reached_us == self._floor_us else PASS_US
        self._floor_us = max(reached_us, min(reached_us + self._step_us, now_us))
        reason = f"{self._host} sent a frame larger than {LIMIT_TIMES * MOST_BYTES} bytes"
        return Gap(reason, reached_us / 1e6, self._floor_us / 1e6)


class _ServerClock:
    """The server's clock during a connection, in microseconds since 1970: ours, or later if ours is slow.

    The first answer may tell the time. Two frames in a row correct it if both are ahead of it by about the same time,
    and the second is later than the first.
    """

    def __init__(self, socket: ClientConnection) -> None:
        sent = read_moment(socket.response.headers.get("Date") if socket.response is not None else None)[0]
        ours_us = time.time_ns() // 1000
        self.began_us = ours_us if sent is None else int(sent.timestamp() * 1e6)
        self._behind_us = max(0, self.began_us - ours_us)  # of our clock
        self._early: tuple[int, int] | None = None  # the last frame if it was early: its time, and how much

    @property
    def now_us(self) -> int:
        return time.time_ns() // 1000 + self._behind_us

    def has_reached(self, at_us: int) -> bool:
        """Returns whether a frame of this time may have been sent now."""
        now_us = self.now_us
        last, self._early = self._early, None
        if at_us <= now_us + REWIND_US:
            return True
        early_us = at_us - now_us
        if last is not None and at_us > last[0] and abs(early_us - last[1]) <= REWIND_US:
            self._behind_us += early_us
            return True
        self._early = at_us, early_us
        return False


def _retry_at(headers: Headers) -> float | None:
    """Returns the Unix time that `Retry-After` or `ratelimit-reset` names, or None."""
    for name, base in (("Retry-After", time.time()), ("ratelimit-reset", 0.0)):
        if value := headers.get(name):
            with suppress(ValueError):
                return base + float(value)
            with suppress(ValueError, TypeError, OverflowError):
                return parsedate_to_datetime(value).timestamp()
    return None
