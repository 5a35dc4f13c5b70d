"""Posts of the archive that X gives its users: JavaScript files such as `tweets.js` and `deleted-tweets.js`."""

from __future__ import annotations

import re
from typing import Any

from streams.feeds.adapters.common import UNREADABLE
from streams.feeds.adapters.x import fields
from streams.feeds.adapters.x.v1 import first_version, v1_object
from streams.feeds.source import Adapted

POSTS = frozenset({"tweet", "tweets", "community_tweet"})
DELETED = frozenset({"deleted_tweet", "deleted_tweets"})

REPOST = re.compile(r"RT @\w{1,20}: ")
"""Archives hold of a repost only these words, and the beginning of the other text."""


def archive_object(entry: Any, section: str) -> Adapted:
    """Returns the post of one entry of the section.

    The posts that the user has deleted are erased: their section repeats the texts, but nobody may keep these.
    """
    status = fields.as_object(entry).get("tweet", entry)  # before 2020, the entry was the post itself
    if not isinstance(status, dict):
        return Adapted(skipped=UNREADABLE)
    if section in DELETED:
        gone = fields.event(
            "erase",
            fields.moment_of(status.get("deleted_at")),
            post=first_version(status),
            cause="deleted",
        )
        return Adapted(lifecycle=(gone,)) if gone else Adapted(skipped=UNREADABLE)
    text = status.get("full_text", status.get("text"))
    if isinstance(text, str) and "retweeted_status" not in status and REPOST.match(text):
        return Adapted(skipped="repost")
    return v1_object(status)
