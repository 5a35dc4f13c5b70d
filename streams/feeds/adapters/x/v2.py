"""Posts of X's API v2: a line of the filtered stream, or a page of a search.

Source: docs.x.com, fundamentals/data-dictionary.
"""

from __future__ import annotations

from typing import Any

from core.events import Tweet
from streams.feeds.adapters.common import UNREADABLE
from streams.feeds.adapters.x import fields
from streams.feeds.adapters.x.compliance import compliance_event
from streams.feeds.source import Adapted


def v2_page(page: Any) -> Adapted:
    """Returns the posts of a page.

    Of a page with several posts, `skipped` is set only if no post can be used. `single_pages` cuts such a page, so that
    each post has its own answer. A repost is the post that it repeats, if the page includes that post.
    """
    pages = single_pages(page)
    if len(pages) == 1:
        return _single(pages[0])
    answers = [_single(part) for part in pages]
    posts = tuple(post for answer in answers for post in answer.posts)
    lifecycle = tuple(event for answer in answers for event in answer.lifecycle)
    reasons = [answer.skipped for answer in answers if answer.skipped]
    worst = UNREADABLE if UNREADABLE in reasons else next(iter(reasons), "empty")
    return Adapted(posts, lifecycle, skipped=None if posts or lifecycle else worst)


def single_pages(page: Any) -> list[Any]:
    """Returns a page for each post of a page. A page without a list of posts comes back as it is."""
    if not isinstance(page, dict) or not isinstance(page.get("data"), list):
        return [page]
    return [{"data": entry, "includes": page.get("includes")} for entry in page["data"]]


def without_others(page: dict[str, Any]) -> dict[str, Any]:
    """Returns a page with one post, without the included objects that its repost does not need."""
    includes = _Includes(page.get("includes"))
    repeated = _references(fields.as_object(page["data"]), "retweeted")
    originals = [includes.tweets[name] for name in repeated if name in includes.tweets]
    return {"data": page["data"]} | ({"includes": {"tweets": originals}} if originals else {})


def _single(page: Any) -> Adapted:
    data = page.get("data") if isinstance(page, dict) else None
    if data is None:
        return Adapted(skipped=_without_data(page))
    if not isinstance(data, dict):
        return Adapted(skipped=UNREADABLE)
    if "id" not in data:
        return compliance_event(page)
    includes = _Includes(page.get("includes"))
    repeated = _references(data, "retweeted")
    if not repeated:
        post = _post(data, includes)
        return Adapted((post,)) if post else Adapted(skipped=UNREADABLE)
    original = includes.tweets.get(repeated[0])
    if original is None:
        return Adapted(skipped="repost")
    post = _post(original, includes)
    return Adapted((post,)) if post else Adapted(skipped=UNREADABLE)


def _without_data(page: Any) -> str:
    if not isinstance(page, dict):
        return UNREADABLE
    return "error" if page.get("errors") else "empty" if "meta" in page else UNREADABLE


class _Includes:
    """What a page includes, by id. Entries without an id are left out."""

    def __init__(self, includes: Any) -> None:
        included = fields.as_object(includes)
        self.users = _by_id(included.get("users"))
        self.tweets = _by_id(included.get("tweets"))
        media = [entry for entry in fields.as_list(included.get("media")) if isinstance(entry, dict)]
        self.media = {entry["media_key"]: entry for entry in media if isinstance(entry.get("media_key"), str)}


def _by_id(entries: Any) -> dict[str, dict[str, Any]]:
    return {
        digits: entry
        for entry in fields.as_list(entries)
        if isinstance(entry, dict) and (digits := fields.whole(entry.get("id"))) is not None
    }


def _references(data: dict[str, Any], kind: str) -> list[str]:
    """Returns the ids of the posts that this one quotes, repeats or answers."""
    return [
        digits
        for entry in fields.as_list(data.get("referenced_tweets"))
        if isinstance(entry, dict)
        and entry.get("type") == kind
        and (digits := fields.whole(entry.get("id"))) is not None
    ]


def _post(data: dict[str, Any], includes: _Includes) -> Tweet | None:
    own = fields.whole(data.get("id"))
    if own is None:
        return None
    name, edit = fields.versions(data.get("edit_history_tweet_ids"), own)
    note = fields.as_object(data.get("note_tweet")).get("text")
    return fields.post(
        {
            "id": fields.named(name),
            "text": fields.unescaped_if_escaped(note) if isinstance(note, str) else fields.unescaped(data.get("text")),
            "created_at": fields.created(name, own, data.get("created_at")),
            "author": _author(data, includes),
            "lang": fields.language(data.get("lang")),
            "media": _media(data, includes),
            "edit": edit,
            "reply_to": _name_of(_references(data, "replied_to"), includes),
            "quote_of": _name_of(_references(data, "quoted"), includes),
        }
    )


def _author(data: dict[str, Any], includes: _Includes) -> dict[str, Any] | None:
    digits = fields.whole(data.get("author_id"))
    if digits is None:
        return None
    user = includes.users.get(digits, {})
    return {"id": fields.named(digits), "name": user.get("name") or user.get("username")}


def _media(data: dict[str, Any], includes: _Includes) -> list[dict[str, Any]]:
    keys = fields.as_list(fields.as_object(data.get("attachments")).get("media_keys"))
    entries = [includes.media.get(key, {}) for key in keys if isinstance(key, str)]
    return [found for entry in entries if (found := fields.photo(entry, "url", "alt_text")) is not None]


def _name_of(references: list[str], includes: _Includes) -> str | None:
    """Returns our name of another post. An included post tells its first version, which names it."""
    if not references:
        return None
    included = includes.tweets.get(references[0], {})
    return fields.named(fields.versions(included.get("edit_history_tweet_ids"), references[0])[0])
