"""Reads a Jetstream frame (https://github.com/bluesky-social/jetstream): a post, its deletion, or an account's state.

The text of a post is what its author wrote, with whole addresses. The app shortens them in the text, and keeps the
whole ones beside it, in facets (https://docs.bsky.app/docs/advanced-guides/post-richtext).
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from core import reading
from core.lifecycle import Cause, Lifecycle
from core.moments import read_moment
from streams.feeds.adapters.common import author_id, edit_number, post_id, read_post, unreadable
from streams.feeds.source import Adapted, Received

SOURCE = "bluesky"
POSTS = "app.bsky.feed.post"
LINK = "app.bsky.richtext.facet#link"
ADDRESS = re.compile(r"https?://[^\s<>]{1,4000}")
BEFORE_HOST = re.compile(r"(?:https?://)?(?:www\.)?")
AFTER_HOST = re.compile(r"[/?#]")
MAX_FACETS = 200
IMAGE = "https://cdn.bsky.app/img/feed_fullsize/plain/{did}/{cid}@jpeg"

SKIPPED = {
    "app.bsky.feed.like": "like",
    "app.bsky.feed.repost": "repost",
    "app.bsky.graph.follow": "follow",
    "app.bsky.graph.block": "block",
    "app.bsky.actor.profile": "profile",
}
"""Collection -> reason why its records are skipped. All others are `other_record`."""

ERASED: dict[str, Cause] = {"deleted": "deleted", "takendown": "takedown"}
HIDDEN: dict[str, Cause] = {"deactivated": "deactivated", "suspended": "suspended"}
"""Status of an account -> cause."""

DID = re.compile(r"did:[a-z0-9]+:[A-Za-z0-9._:%-]+")
KEY = re.compile(r"[A-Za-z0-9._:~-]{1,512}")
SORTABLE = "234567abcdefghijklmnopqrstuvwxyz"
TID = re.compile(r"[2-7a-j][2-7a-z]{12}")
CID = re.compile(r"[A-Za-z0-9]{8,128}")
AT_URI = re.compile(rf"at://({DID.pattern})/({re.escape(POSTS)})/({KEY.pattern})")

FIRST_US, LAST_US = 1_500_000_000_000_000, 4_102_444_800_000_000
"""A time before July 2017, or after 2099, is no time of Jetstream, and no cursor."""


def adapt(payload: str | bytes) -> Received:
    """Returns the content of a frame. Never raises: an unreadable frame has the reason `unreadable` and its bytes."""
    raw = payload.encode("utf-8", "surrogatepass") if isinstance(payload, str) else payload
    cursor, at = None, None
    try:
        frame = json.loads(payload if isinstance(payload, str) else payload.decode())  # no other encoding is guessed
        if not isinstance(frame, dict):
            raise ValueError("is no object")
        event_us = frame["time_us"]
        if not isinstance(event_us, int) or not FIRST_US <= event_us <= LAST_US:
            raise ValueError(f"time_us: {event_us!r} is no time of Jetstream")
        cursor, at = str(event_us), event_us / 1e6
        return Received(_adapted(frame, datetime.fromtimestamp(at, UTC)), cursor, at)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        return replace(unreadable(raw, error), cursor=cursor, at=at)


def _adapted(frame: dict[str, Any], event: datetime) -> Adapted:
    """Raises any of the errors that `adapt` expects if the frame is not as the protocol says."""
    did = frame["did"]
    if not isinstance(did, str) or not DID.fullmatch(did):
        raise ValueError(f"did: {did!r} is none")
    if frame["kind"] == "commit":
        return _commit(did, frame["commit"], event)
    if frame["kind"] == "account":
        return _account(did, frame["account"], event)
    return Adapted(skipped="identity" if frame["kind"] == "identity" else "other_kind")


def _commit(did: str, commit: dict[str, Any], event: datetime) -> Adapted:
    collection, operation = commit["collection"], commit["operation"]
    if collection != POSTS:
        return Adapted(skipped=SKIPPED.get(collection, "other_record"))
    if not isinstance(commit["rkey"], str) or not KEY.fullmatch(commit["rkey"]):
        raise ValueError(f"rkey: {commit['rkey']!r} is none")
    name = post_id("at", did, commit["rkey"])
    if operation == "delete":
        return Adapted(lifecycle=(Lifecycle(kind="erase", post=name, cause="deleted", at=event, source=SOURCE),))
    if operation not in {"create", "update"}:
        return Adapted(skipped="other_operation")
    record = commit["record"]
    keyed = _time_in(commit["rkey"])
    created = _created(record.get("createdAt"), min(keyed, event) if keyed else event)
    fields = {
        "id": name,
        "text": _text(record["text"], record.get("facets")),
        "created_at": created.isoformat(),
        "author": {"id": author_id(did)},
        "lang": _first(record.get("langs")),
        "media": _media(did, record.get("embed")),
        "source": SOURCE,
        "edit": edit_number(keyed, event) if operation == "update" else 0,
        "reply_to": _reply(record.get("reply")),
        "quote_of": _quote(record.get("embed")),
    }
    return Adapted((read_post({field: value for field, value in fields.items() if value not in (None, [])}),))


def _text(text: Any, facets: Any) -> Any:
    """Returns the text with whole addresses in place of shortened ones, such as `example.org/a...`.

    Words that are a link stay. Facets count in bytes of UTF-8. A facet is ignored if it cuts a character, lies outside
    of the text, or overlaps an earlier facet.
    """
    if not isinstance(text, str) or not isinstance(facets, list):
        return text
    raw = text.encode("utf-8", "surrogatepass")
    parts, done = [], 0
    links = [link for facet in facets[:MAX_FACETS] if (link := _link(facet)) is not None]
    for start, end, address in sorted(links):
        if not done <= start < end <= len(raw) or {raw[place] >> 6 for place in (start, end) if place < len(raw)} & {2}:
            continue
        if _is_short_for(raw[start:end].decode("utf-8", "surrogatepass"), address):
            parts += [raw[done:start], address.encode("utf-8", "surrogatepass")]
            done = end
    return b"".join([*parts, raw[done:]]).decode("utf-8", "surrogatepass")


def _link(facet: Any) -> tuple[int, int, str] | None:
    """Returns the first and the last byte of a link, and its address. Returns None for any other facet."""
    index = facet.get("index") if isinstance(facet, dict) else None
    features = facet.get("features") if isinstance(facet, dict) else None
    if not isinstance(index, dict) or not isinstance(features, list):
        return None
    start, end = index.get("byteStart"), index.get("byteEnd")
    if type(start) is not int or type(end) is not int:
        return None
    for feature in features[:MAX_FACETS]:
        address = feature.get("uri") if isinstance(feature, dict) and feature.get("$type") == LINK else None
        if isinstance(address, str) and ADDRESS.fullmatch(address):
            return start, end, address
    return None


def _is_short_for(shown: str, address: str) -> bool:
    """Returns whether a text is an address without its scheme, or the beginning of one and an ellipsis.

    The app never cuts the host. Words can begin like an address by chance.
    """
    kept = shown.removesuffix("...").removesuffix("…")
    bare, bare_address = _bare(kept), _bare(address)
    if kept == shown:
        return shown != address and bare == bare_address
    host = AFTER_HOST.split(bare_address, maxsplit=1)[0]
    return bare.startswith(host) and bare_address.startswith(bare)


def _bare(address: str) -> str:
    """Returns an address without its scheme, `www.` and the last slash."""
    return BEFORE_HOST.sub("", address, count=1).removesuffix("/")


def _account(did: str, account: dict[str, Any], event: datetime) -> Adapted:
    """Reads the state of an account. The time is the event's own, so that a replay gives equal events."""
    said, fault = read_moment(account.get("time"))
    at = said if said is not None and fault is None and said <= event else event
    author = author_id(did)
    if account["active"] is True:
        return Adapted(lifecycle=(Lifecycle(kind="show", author=author, at=at, source=SOURCE),))
    if account["active"] is not False:
        raise ValueError("`active` is neither true nor false")
    status = account.get("status")
    if cause := ERASED.get(status) if isinstance(status, str) else None:
        erase = Lifecycle(kind="erase", author=author, cause=cause, at=at, source=SOURCE)
        # posts that arrive later, such as those of another server, stay hidden until the account is back
        hide = Lifecycle(kind="hide", author=author, cause=cause, at=at, source=SOURCE)
        return Adapted(lifecycle=(erase, hide))
    if cause := HIDDEN.get(status) if isinstance(status, str) else None:
        return Adapted(lifecycle=(Lifecycle(kind="hide", author=author, cause=cause, at=at, source=SOURCE),))
    return Adapted(skipped="account_state")


def _created(value: Any, latest: datetime) -> datetime:
    """Returns the author's time, or `latest` if that is earlier. Authors can set any time.

    `latest` is the time in the post's key, or that of the event. So an update cannot move the post to a later time, at
    which an erasure of its author no longer reaches it.
    """
    said, fault = read_moment(value) if isinstance(value, str) else (None, None)
    return min(said, latest) if said is not None and fault is None else latest


def _time_in(key: str) -> datetime | None:
    """Returns the time in a record's key (https://atproto.com/specs/tid), or None if it holds none.

    An update may change `createdAt`. The key stays, so the numbers of a post's edits grow.
    """
    if not TID.fullmatch(key):
        return None
    number = 0
    for char in key:
        number = number << 5 | SORTABLE.index(char)
    time_us = number >> 10  # the last ten bits tell the clocks apart
    return datetime.fromtimestamp(time_us / 1e6, UTC) if FIRST_US <= time_us <= LAST_US else None


def _first(values: Any) -> Any:
    return values[0] if isinstance(values, list) and values else values


def _media(did: str, embed: Any) -> list[dict[str, Any]]:
    """Returns the images of a post. An image without a usable CID has no `url`, so `left_out` will name it."""
    if isinstance(embed, dict) and isinstance(embed.get("media"), dict):  # a quote with images
        embed = embed["media"]
    images = embed.get("images") if isinstance(embed, dict) else None
    if not isinstance(images, list):
        return []
    return [_image(did, entry) for entry in images[: reading.MAX_MEDIA + 1] if isinstance(entry, dict)]


def _image(did: str, entry: dict[str, Any]) -> dict[str, Any]:
    image = entry.get("image")
    reference = image.get("ref") if isinstance(image, dict) else None
    cid = reference.get("$link") if isinstance(reference, dict) else None
    if cid is None and isinstance(image, dict):
        cid = image.get("cid")  # the form of blobs before 2023
    fields = {"type": "photo", "alt": entry.get("alt") or None}
    if isinstance(cid, str) and CID.fullmatch(cid):
        fields["url"] = IMAGE.format(did=did, cid=cid)
    return {name: value for name, value in fields.items() if value is not None}


def _reply(reply: Any) -> str | None:
    parent = reply.get("parent") if isinstance(reply, dict) else None
    return _linked(parent)


def _quote(embed: Any) -> str | None:
    record = embed.get("record") if isinstance(embed, dict) else None
    if isinstance(record, dict) and isinstance(record.get("record"), dict):  # a quote with images
        record = record["record"]
    return _linked(record)


def _linked(reference: Any) -> str | None:
    """Returns the id of the post that a strong reference names, or None for a quoted list or feed."""
    uri = reference.get("uri") if isinstance(reference, dict) else None
    found = AT_URI.fullmatch(uri) if isinstance(uri, str) else None
    return post_id("at", found[1], found[3]) if found else None
