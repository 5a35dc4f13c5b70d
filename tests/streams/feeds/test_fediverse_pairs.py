"""HTML, statuses of Mastodon and documents of RSS become what stands beside them in `pairs/`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from streams.feeds.adapters import mastodon, rss
from streams.feeds.adapters.feed_bytes import NotAFeed, checked_xml
from streams.feeds.adapters.html import text_of
from streams.feeds.source import Adapted
from tests.streams.feeds.test_pairs import PAIRS, shown

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
FEED = "https://n.example/feed"


def _rss(document: str) -> Any:
    try:
        entries = rss.read_feed(document.encode("utf-8", "surrogatepass"), "", FEED)
    except NotAFeed as error:
        return str(error)
    return [shown(_entry(entry)) for entry in entries]


def _entry(entry: rss.Entry) -> Adapted:
    try:
        return Adapted(posts=(rss.read_entry(entry, FEED, NOW),))
    except ValueError:
        return Adapted(skipped="unreadable")


ADAPTERS: dict[str, Callable[[Any], Any]] = {
    "html": text_of,
    "mastodon": lambda status: shown(mastodon.adapt(status, "m.example", NOW)),
    "rss": _rss,
}
FILES = [file for folder in ADAPTERS for file in sorted((PAIRS / folder).glob("*.json"))]


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_payload_becomes_what_stands_beside_it(file: Path) -> None:
    pair = json.loads(file.read_text())
    assert ADAPTERS[file.parent.name](pair["payload"]) == pair["expected"]


@pytest.mark.parametrize(
    "html",
    [piece * (400_000 // len(piece)) for piece in ("<b>", "<p>", '<a href="', "<!--", "</", "<", "&", "<svg>", "\0")],
    ids=lambda html: html[:12].replace("\0", "NUL"),
)
def test_hostile_html_ends(html: str) -> None:
    """Parsers that go back need minutes for these. The timeout of the suite would end this test."""
    assert len(text_of(html)) <= len(html)


@pytest.mark.parametrize(
    "document",
    ["<!-- -->" * 100 + "<!--", " " * 4_000_000, "<rss>" + " " * 4_000_000 + "<?xml"],
    ids=["comments", "blanks", "blanks inside"],
)
def test_a_hostile_beginning_of_a_feed_ends(document: str) -> None:
    """Expressions that go back need hours for these. The timeout of the suite would end this test."""
    assert checked_xml(document)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "iso-8859-1", "cp1252"])
def test_an_encoding_is_found(encoding: str) -> None:
    declared = f"<?xml version='1.0' encoding='{encoding.replace('-sig', '')}'?>"
    document = f"{declared}<rss version='2.0'><channel><item><title>Café</title></item></channel></rss>"
    assert [entry.text for entry in rss.read_feed(document.encode(encoding))] == ["Café"]
    assert [entry.text for entry in rss.read_feed(document.encode("utf-8"), "text/xml; charset=utf-8")] == ["Café"]


def test_a_deletion_erases_the_post() -> None:
    adapted = mastodon.adapt_deletion("77", "m.example", NOW)
    assert [(event.kind, event.post, event.cause) for event in adapted.lifecycle] == [
        ("erase", "mastodon:m.example:77", "deleted")
    ]
    assert mastodon.adapt_deletion('{"id": 7}', "m.example", NOW).skipped == "unreadable"
