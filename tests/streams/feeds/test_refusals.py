"""What a feed refuses, each in one line, as the table in docs/feeds.md has it."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

import pytest
from websockets.sync.server import serve

from cli.main import build
from core.errors import UserError
from streams.feeds.bluesky import Bluesky
from streams.feeds.source import Disconnected


def said(*words: str) -> str:
    """Runs `mner feed`, and returns its refusal."""
    with pytest.raises(UserError) as caught:
        build()(["feed", *words], standalone_mode=False)
    assert "\n" not in str(caught.value)
    return str(caught.value).strip("`")


def test_a_password_in_an_address_is_not_shown() -> None:
    assert "secret" not in said("bluesky", "--server", "http://ada:secret@host/")


@contextmanager
def answering(status: int, headers: dict[str, str], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Runs a server that answers each request with this status. Yields its port."""

    def answer(connection: object, _: object) -> object:
        response = connection.respond(HTTPStatus(status), "no\n")  # type: ignore[attr-defined]
        for name, value in headers.items():
            response.headers[name] = value
        return response

    with serve(lambda _: None, "127.0.0.1", 0, process_request=answer, ssl=context) as server:  # type: ignore[arg-type]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()
        thread.join(10)


def opened(server: str) -> Callable[[], None]:
    def call() -> None:
        with Bluesky(server).open(None, None):
            pass

    return call


@pytest.mark.parametrize(
    ("status", "fault", "headers", "is_told"),
    [
        (429, "rate_limit", {"ratelimit-reset": "33000000000"}, True),
        (429, "rate_limit", {}, False),
        (503, "http", {"Retry-After": "7"}, True),
        (502, "http", {"Retry-After": "Wed, 21 Oct"}, False),
        (503, "http", {"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"}, True),
    ],
)
def test_a_failing_server_is_asked_again(status: int, fault: str, headers: dict[str, str], is_told: bool) -> None:
    with answering(status, headers) as port, pytest.raises(Disconnected) as caught:
        opened(f"ws://127.0.0.1:{port}")()
    assert caught.value.fault == fault
    assert (caught.value.retry_at is not None) == is_told
