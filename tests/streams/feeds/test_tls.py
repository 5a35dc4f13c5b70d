"""What live feeds say of a server without a valid certificate. All servers are real."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from tests.conftest import ROOT
from tests.streams.feeds.platforms.web import answering

PAST = datetime(2020, 1, 1, tzinfo=UTC)

OPEN = """
import json, sys
from streams.feeds.bluesky import Bluesky
from streams.feeds.mastodon import Mastodon
from streams.feeds.rss import Rss

def said(source, cursor):
    try:
        with source.open(cursor, None) as messages:
            return repr(next(messages))
    except Exception as error:
        return f"{type(error).__name__}: {error}"

made = [Mastodon, lambda url: Rss([url + "/feed"]), lambda url: Bluesky(url.replace("http", "ws", 1))]
cursors = [None, "{}"] if sys.argv[1] == "known" else [None]
print(json.dumps([[said(make(url), cursors[-1]) for make in made] for url in sys.argv[2:]]))
"""
"""Opens each feed of each address. A process of its own, since clients read the authorities when they are imported."""


async def _answer(request: web.Request) -> web.StreamResponse:
    if "streaming" in request.path:
        return web.Response(content_type="text/event-stream", body=b":thump\n")
    return web.Response(text="<rss version='2.0'><channel><item><title>x</title></item></channel></rss>")


def _context(authority: trustme.CA, *names: str, until: datetime | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, not_before=PAST, not_after=until).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What each feed says, by the fault of its server: [Mastodon, RSS, Bluesky]."""
    known, stranger = trustme.CA(), trustme.CA()
    authorities = tmp_path_factory.mktemp("tls") / "authority.pem"
    known.cert_pem.write_to_path(authorities)
    with ExitStack() as stack:

        def served(context: ssl.SSLContext | None) -> str:
            return stack.enter_context(answering(_answer, context, "localhost"))

        urls = {
            "valid": served(_context(known, "localhost")),
            "unknown": served(_context(stranger, "localhost")),
            "expired": served(_context(known, "localhost", until=datetime(2021, 1, 1, tzinfo=UTC))),
            "other name": served(_context(known, "other.example")),
            "no TLS": served(None).replace("http:", "https:"),
        }
        found = _opened(authorities, "new", *urls.values())
        (again,) = _opened(authorities, "known", urls["expired"])
    return dict(zip(urls, found, strict=True)) | {"expired later": again}


def _opened(authorities: Path, *arguments: str) -> list[list[str]]:
    names = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), str(authorities))
    ran = subprocess.run(
        [sys.executable, "-c", OPEN, *arguments],
        env=os.environ | names | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[list[str]] = json.loads(ran.stdout)
    return found


def test_the_variable_of_the_remedy_names_an_authority(said: dict[str, list[str]]) -> None:
    mastodon, rss, bluesky = said["valid"]
    assert mastodon.startswith("Began(")
    assert rss.startswith("Received(")
    assert bluesky.endswith(": HTTP 200")  # no websocket, but a connection


@pytest.mark.parametrize(
    ("fault", "wrong", "remedy"),
    [
        ("unknown", "has no valid certificate: unable to get local issuer certificate", "if you trust this server"),
        ("expired", "has no valid certificate: certificate has expired", "check the clock of this machine"),
        ("other name", "certificate is not valid for 'localhost'", "write the name that its certificate is for"),
        ("no TLS", "answers without TLS", "correct the port, or write"),
    ],
)
def test_a_first_connection_is_refused_with_what_is_wrong_and_the_remedy(
    said: dict[str, list[str]], fault: str, wrong: str, remedy: str
) -> None:
    for text in said[fault]:
        assert text.startswith("FeedRefused: ")
        assert "localhost" in text
        assert wrong in text
        assert f"; {remedy}" in text
        assert "\n" not in text
        assert len(text) < 250


def test_a_feed_that_ran_before_waits_for_a_new_certificate(said: dict[str, list[str]]) -> None:
    for text in said["expired later"][:2]:
        assert text.startswith(("TlsFault: ", "Disconnected: "))
        assert "certificate has expired" in text
