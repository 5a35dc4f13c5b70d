"""Reads one post of the index, as far as it may be shown."""

from __future__ import annotations

import json

from fastapi import HTTPException

from core.terms import UNKNOWN
from desk.search.values import Post
from desk.services import Services
from sinks.exchange import line_of
from sinks.searching.access import Access
from streams.retention import Retention

MORE = ("alt", "typicality")
"""Fields of a document that a post has, and a line of an export may lack."""


def access_of(services: Services) -> Access:
    """Returns what a search may find and show at this moment."""
    cutoff = Retention(services.settings.index_retention_days).cutoff
    return Access(services.sources, cutoff, services.corrections.names)


async def find_post(services: Services, post_id: str) -> Post:
    """Returns a post. Raises HTTP 404 for one that the index lacks or that is erased, hidden or expired."""
    document = await services.index.get(post_id) if post_id.strip() else None
    if document is None or not access_of(services).may_find(document):
        raise HTTPException(404, "the index holds no such post; it may have been deleted")
    terms = services.sources.of(document.body.get("feed", UNKNOWN))
    withheld = not terms.may_show_text
    line = json.loads(line_of(document.body, terms))
    more = {name: document.body[name] for name in MORE if name in document.body and not withheld}
    return Post.model_validate(line | more | {"withheld": withheld})
