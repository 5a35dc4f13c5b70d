"""HTTP to a Mastodon server, with bounds that Mastodon.py lacks: bytes of an answer, and the time until it is whole."""

from __future__ import annotations

import threading
import warnings
from contextlib import suppress
from typing import Any

import requests
from mastodon import Mastodon as Client
from mastodon.errors import MastodonWarning
from requests.adapters import HTTPAdapter

REQUEST_S = 10.0
"""Longest time, in seconds, for a connection, and between two parts of an answer that is no stream."""
ANSWER_S = 30.0
"""Longest time, in seconds, until an answer is whole, or until a stream begins."""
MAX_ANSWER = 16_000_000
"""Largest answer, in bytes, also after its compression is undone. A page of 40 statuses has some 200 kB."""
READ_BYTES = 65_536


class Session(requests.Session):
    """Remembers the last answer. Mastodon.py's errors do not tell the status of a refused stream."""

    last: requests.Response | None = None

    def __init__(self) -> None:
        super().__init__()
        self.auth = lambda request: request  # otherwise a line in ~/.netrc would replace the token
        self.connections: list[Any] = []
        self.open_answer: requests.Response | None = None
        self.is_aborted = False
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(self))

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Raises `requests.RequestException` for an answer that is too long, or not whole in time."""
        self.last = None
        clock = threading.Timer(ANSWER_S, self.abort)
        clock.daemon = True
        clock.start()
        try:
            self.last = super().send(request, **options)
        finally:
            clock.cancel()
            if self.is_aborted:  # a body that ends with its connection looks whole
                self.last = None
                raise requests.ConnectionError(f"no whole answer within {ANSWER_S:g} s")
        return self.last

    def abort(self) -> None:
        """Ends all connections for good, and a reading that waits. For any thread."""
        self.is_aborted = True
        for connection in self.connections:
            with suppress(Exception):  # not yet connected, or at its end
                connection.sock.shutdown(2)
        with suppress(Exception):
            if self.open_answer is not None:  # its socket may have left the connection
                self.open_answer.raw.shutdown()


class _Adapter(HTTPAdapter):
    """Reads answers, except streams, up to `MAX_ANSWER`. Tells the session each connection."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*arguments, **options)
        make = pool.ConnectionCls
        if isinstance(make, type):  # not yet replaced

            def remembered(*arguments: Any, **options: Any) -> Any:
                connection = make(*arguments, **options)
                self._session.connections.append(connection)
                return connection

            pool.ConnectionCls = remembered
        return pool

    def send(self, request: requests.PreparedRequest, stream: bool = False, *rest: Any, **options: Any) -> Any:
        answer = super().send(request, True, *rest, **options)
        self._session.open_answer = answer
        if not stream or answer.is_redirect:
            body = bytearray()
            for piece in answer.iter_content(READ_BYTES):
                body += piece
                if len(body) > MAX_ANSWER:
                    answer.close()
                    raise requests.RequestException(f"the answer has more than {MAX_ANSWER:,} bytes")
            answer._content = bytes(body)
        return answer


def client(base: str, token: str | None) -> tuple[Client, Session]:
    """Returns a client for one thread. A new one finds the streaming server anew, which may have moved."""
    warnings.filterwarnings("ignore", category=MastodonWarning)  # what the server answers says more
    session = Session()
    made = Client(
        api_base_url=base,
        access_token=token,
        session=session,
        ratelimit_method="throw",
        request_timeout=REQUEST_S,
        user_agent="mner-streams",
    )
    return made, session
