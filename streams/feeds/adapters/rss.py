"""Makes posts of the entries of RSS 0.9 to 2.0, Atom 0.3 and 1.0, CDF and JSON Feed 1.0 and 1.1. All are pure.

The id of a post is `rss:` and a hash of the feed's address and of the entry's id. Entries without an id have a hash of
their link and title in its place. Ids of entries are often short numbers, and anybody can copy one: so two feeds never
share a post, even with the same entry.

The text is the title, an empty line, and the content, or the summary where there is no content. A title that the
content begins with is not repeated.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import feedparser
from yarl import URL

from core.events import Tweet
from core.json_text import read_json
from core.moments import read_moment
from core.reading import MAX_SOURCE
from streams.feeds.adapters.common import FIRST_POST, edit_number, read_post
from streams.feeds.adapters.feed_bytes import NotAFeed, checked_xml, decoded
from streams.feeds.adapters.html import fitting, text_of

PLATFORM = "rss"
MAX_ENTRIES = 2000
"""Most entries of a feed that are read, the first ones. Feeds have their newest entries first."""
#: feedparser takes the description of an image for that of its entry. As a credit, it does no harm.
_ALT = b"<media:credit role='alt'"
KEY_BYTES, MARK_BYTES = 16, 6

_END = re.compile(rb"</(?:\w+:)?(?:rss|rdf|feed|channel)\s*>", re.IGNORECASE)
JSON_FEED = "https://jsonfeed.org/version/"


@dataclass(frozen=True)
class Entry:
    """What an entry says, in the same form for every kind of feed. `None` is absent."""

    #: The entry's id, or a hash of its link and title, or of all of it.
    id: str
    text: str
    created_at: Any = None
    updated_at: Any = None
    author: str | None = None
    lang: str | None = None
    media: tuple[dict[str, Any], ...] = ()

    def key(self, feed: str) -> str:
        """Returns what names the entry among all feeds. `feed` is the address of its feed."""
        return hashlib.sha256(f"{feed}\n{self.id}".encode("utf-8", "replace")).hexdigest()[: 2 * KEY_BYTES]

    @property
    def mark(self) -> str:
        """Returns a hash of what is shown. It differs when the entry was edited.

        The query of a medium's address does not count: signed addresses have a new one in each document.
        """
        media = [medium | {"url": str(medium.get("url", "")).partition("?")[0]} for medium in self.media]
        shown = json.dumps([self.text, media], sort_keys=True, default=str)
        return hashlib.sha256(shown.encode()).hexdigest()[: 2 * MARK_BYTES]


def source_name(feed: str) -> str:
    """Returns the `source` of the feed's posts, such as `rss:example.org`."""
    return f"{PLATFORM}:{URL(feed).host or ''}"[:MAX_SOURCE]


def read_feed(body: bytes, content_type: str = "", feed: str = "") -> list[Entry]:
    """Returns the entries as the feed has them, the newest first by custom. Raises `NotAFeed`."""
    text = decoded(body, content_type)
    if "json" in content_type.lower() or text.lstrip("\ufeff \t\r\n").startswith("{"):
        return list(_json_entries(text))
    xml = checked_xml(text)
    try:
        parsed = feedparser.parse(
            io.BytesIO(_without_alts(xml)),
            response_headers={"content-type": "application/xml; charset=utf-8", "content-location": feed},
            sanitize_html=False,  # the HTML becomes plain text
            resolve_relative_uris=False,
        )
    except Exception as error:  # whatever the parser makes of a stranger's document
        raise NotAFeed(f"the document cannot be read ({type(error).__name__})") from None
    if not parsed.get("version") and not parsed.entries:
        raise NotAFeed("the document is neither RSS, nor Atom, nor a JSON Feed")
    lang = parsed.feed.get("language")
    is_cut = parsed.bozo and not _END.search(xml[-200:])  # then the last entry may lack a part of its text
    return [_xml_entry(entry, lang) for entry in parsed.entries[: -1 if is_cut else None][:MAX_ENTRIES]]


def read_entry(entry: Entry, feed: str, received: datetime, edit: int | None = None) -> Tweet:
    """Returns the post of an entry. `edit` is its number; None leaves it to the feed's own dates.

    Raises `ValueError` for an entry that makes no post.
    """
    if not entry.text and not entry.media:
        raise ValueError("has neither a text nor media")
    created = _moment(entry.created_at, received)
    fields = {
        "id": f"{PLATFORM}:{entry.key(feed)}",
        "text": entry.text,
        "created_at": created.isoformat() if created else entry.created_at,
        "author": {"name": entry.author} if entry.author else None,
        "lang": entry.lang,
        "media": list(entry.media),
        "source": source_name(feed),
        "edit": number_of(entry, received) if edit is None else edit,
    }
    return read_post({name: value for name, value in fields.items() if value is not None})


def number_of(entry: Entry, received: datetime) -> int:
    """Returns the edit number that the entry's own dates give: 0 unless it says that it was updated."""
    created, updated = _moment(entry.created_at, received), _moment(entry.updated_at, received)
    if created is None or updated is None or created < FIRST_POST:  # such as 1970, which stands for no date
        return 0
    return edit_number(created, updated) if updated > created else 0


def moment_of(entry: Entry) -> datetime | None:
    """Returns when the entry was published, or updated where it does not say."""
    return read_moment(entry.created_at)[0] or read_moment(entry.updated_at)[0]


def _moment(value: Any, received: datetime) -> datetime | None:
    moment = read_moment(value)[0]
    return min(moment, received) if moment else None


def _xml_entry(entry: Mapping[str, Any], lang: Any) -> Entry:
    found = dict(entry)  # feedparser's own mapping answers for keys that it does not have
    title = _text(found.get("title"), found.get("title_detail"))
    contents = [part for part in found.get("content") or () if isinstance(part, dict)]
    detail = next(iter(contents), None) or found.get("summary_detail")
    alt = next((part.get("content") for part in found.get("media_credit") or () if part.get("role") == "alt"), None)
    alt = text_of(alt) if isinstance(alt, str) else None
    body = _text(contents[0].get("value") if contents else found.get("summary"), detail) or alt or ""
    detail = found.get("title_detail") or detail
    created = found.get("published") or found.get("created")
    return Entry(
        id=_identity(found.get("id"), found.get("link"), title, found),
        text=_joined(title, body),
        created_at=created or found.get("updated"),
        updated_at=found.get("updated") if created else None,
        author=_string(found.get("author")),
        lang=_string(found.get("language")) or _string((detail or {}).get("language")) or _string(lang),
        media=tuple(_xml_media(found, alt)),
    )


def _without_alts(xml: bytes) -> bytes:
    return xml.replace(b"<media:description", _ALT).replace(b"</media:description", b"</media:credit")


def _text(value: Any, detail: Any) -> str:
    """Returns plain text of a title, a summary or a content. `detail` holds its media type."""
    if not isinstance(value, str):
        return ""
    kind = detail.get("type") if isinstance(detail, dict) else None
    return " ".join(value.split()) if kind == "text/plain" else text_of(value)


def _xml_media(found: dict[str, Any], alt: str | None) -> Iterator[dict[str, Any]]:
    """Yields Media RSS and enclosures, each address once. `alt` is the alt text of the first."""
    seen = set()
    for entry in found.get("media_content") or ():
        if (url := _string(entry.get("url"))) and url not in seen:
            seen.add(url)
            yield _medium(url, entry.get("type") or entry.get("medium") or "image", alt)
            alt = None
    for link in found.get("links") or ():
        if link.get("rel") == "enclosure" and (url := _string(link.get("href"))) and url not in seen:
            seen.add(url)
            yield _medium(url, link.get("type") or "unknown", link.get("title"))


def _medium(url: str, kind: Any, alt: Any) -> dict[str, Any]:
    medium = {"url": url, "type": _string(kind), "alt": _string(alt)}
    return {name: value for name, value in medium.items() if value}


def _json_entries(text: str) -> Iterator[Entry]:
    """Yields the items of a JSON Feed. See https://www.jsonfeed.org/version/1.1/."""
    try:
        feed = read_json(text)
    except ValueError as error:
        raise NotAFeed(f"the JSON cannot be read: {str(error)[:100]}") from None
    items = feed.get("items") if isinstance(feed, dict) else None
    if not isinstance(items, list) or not str(feed.get("version")).startswith(JSON_FEED):
        raise NotAFeed("the JSON is no JSON Feed: it needs a `version` of jsonfeed.org and a list `items`")
    for item in items[:MAX_ENTRIES]:
        yield _json_entry(item if isinstance(item, dict) else {}, feed)


def _json_entry(item: dict[str, Any], feed: dict[str, Any]) -> Entry:
    title = " ".join((_string(item.get("title")) or "").split())
    plain, markup = _string(item.get("content_text")), _string(item.get("content_html"))
    body = (plain or "").strip() or text_of(markup or "") or (_string(item.get("summary")) or "").strip()
    number = item.get("id")
    attachments = item.get("attachments")
    images = [{"url": item.get(name), "mime_type": "image"} for name in ("image", "banner_image")]
    media = {
        url: _medium(url, entry.get("mime_type"), entry.get("title"))
        for entry in [*images, *(attachments if isinstance(attachments, list) else [])]
        if isinstance(entry, dict) and (url := _string(entry.get("url")))
    }
    published, modified = item.get("date_published"), item.get("date_modified")
    return Entry(
        id=_identity(str(number) if isinstance(number, int | float) else number, item.get("url"), title, item),
        text=_joined(title, body),
        created_at=published or modified,
        updated_at=modified if published else None,
        author=_json_author(item) or _json_author(feed),
        lang=_string(item.get("language")) or _string(feed.get("language")),
        media=tuple(media.values()),
    )


def _json_author(holder: dict[str, Any]) -> str | None:
    authors = holder.get("authors")
    first = authors[0] if isinstance(authors, list) and authors else holder.get("author")
    return _string(first.get("name")) if isinstance(first, dict) else None


def _identity(number: Any, link: Any, title: str, entry: Any) -> str:
    if named := _string(number):
        return named
    if _string(link) or title:
        parts: Any = [_string(link) or "", title]
    else:
        parts = entry
    return "sha256-" + hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _joined(title: str, body: str) -> str:
    """Returns title and body. Feeds of short posts have the beginning of the post as its title, cut with dots."""
    start = title.rstrip(".… ")
    if start and " ".join(body.split()).startswith(start):
        return fitting(body)
    return fitting("\n\n".join(part for part in (title, body) if part))


def _string(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None
