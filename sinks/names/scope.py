"""Which posts and mentions are counted. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sinks.searching.access import EVERYTHING as ALL
from sinks.searching.access import Access
from sinks.searching.language import parse
from sinks.searching.words import in_mention


@dataclass(frozen=True)
class Scope:
    """The posts and mentions that a request counts. Fields that are None leave nothing out.

    Posts that a search may not find never count, and posts whose text may not be shown do not count either.
    """

    type: str | None = None  # of the mention
    source: str | None = None  # of the post, such as `bluesky`; also finds `bluesky:NAME`
    lang: str | None = None
    since: datetime | None = None  # posts created at or after this moment; those without a date do not count
    until: datetime | None = None  # posts created before this moment
    words: str = ""  # that the mention has
    access: Access = ALL

    def during(self, since: datetime, until: datetime) -> Scope:
        """Returns the same scope with another period."""
        return replace(self, since=since, until=until)

    @property
    def posts(self) -> list[dict[str, Any]]:
        """The filters for posts."""
        filters = [self.access.found, self.access.shown]
        if self.source:
            family = {"prefix": {"feed": f"{self.source}:"}}
            filters.append({"bool": {"should": [{"term": {"feed": self.source}}, family], "minimum_should_match": 1}})
        if self.lang:
            filters.append({"term": {"lang": self.lang}})
        if self.since or self.until:
            filters.append(created(self.since, self.until))
        return filters

    @property
    def mentions(self) -> list[dict[str, Any]]:
        """The filters for the mentions of these posts. Raises `UserError` when the words are too many."""
        filters: list[dict[str, Any]] = [{"term": {"mentions.type": self.type}}] if self.type else []
        asked = parse(self.words)
        return filters if asked.is_blank else [*filters, in_mention(asked)]


EVERYTHING = Scope()
"""All posts that can be found, by the terms of unlisted sources."""


def created(since: datetime | None, until: datetime | None) -> dict[str, Any]:
    """Returns the filter for posts created in [since, until)."""
    limits = {"gte": since.isoformat() if since else None, "lt": until.isoformat() if until else None}
    return {"range": {"created_at": {name: value for name, value in limits.items() if value}}}
