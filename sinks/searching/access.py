"""Which posts a search may find, and which of them it may show. Pure.

Erased, hidden and expired posts are never found. If the terms of a source do not let its text be shown, its posts are
found and counted without text, names, author, language and media, and never by these.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from core.terms import UNKNOWN, UNLISTED, Sources
from sinks.index.document import Document
from sinks.index.expiry import expired, is_old
from sinks.index.shown import shown
from sinks.names.names import NO_CORRECTIONS, Names

ALIVE: dict[str, Any] = {"bool": {"must_not": [{"term": {"erased": True}}, {"term": {"hidden": True}}]}}
"""Leaves out erased and hidden posts."""


@dataclass(frozen=True)
class Access:
    """What a search may find and show, and which names it takes as one."""

    sources: Sources = UNLISTED
    #: Posts received before this moment are expired. None keeps posts for ever. It is rounded up to a minute, so that
    #: equal searches within a minute are equal requests, which Elasticsearch answers from its cache.
    cutoff: datetime | None = None
    #: A filter by a name finds all names that are one with it.
    names: Names = NO_CORRECTIONS

    def __post_init__(self) -> None:
        if self.cutoff is not None:
            minute = self.cutoff.replace(second=0, microsecond=0)
            rounded = minute if minute == self.cutoff else minute + timedelta(minutes=1)
            object.__setattr__(self, "cutoff", rounded)

    @property
    def found(self) -> dict[str, Any]:
        """Returns the query for the posts that may be found."""
        gone = list(ALIVE["bool"]["must_not"])
        if self.cutoff is not None:
            gone.append(expired(self.cutoff))
        return {"bool": {"must_not": gone}}

    def may_find(self, document: Document) -> bool:
        """Whether the document may be found: `found` for a document that was read."""
        gone = document.erased or document.hidden
        return not gone and (self.cutoff is None or not is_old(document.body, self.cutoff))

    @property
    def withholds(self) -> bool:
        """Whether the terms of any source do not let its text be shown."""
        return any(not self.sources.of(name).may_show_text for name in {*self.sources.listed, UNKNOWN})

    @property
    def shown(self) -> dict[str, Any]:
        """Returns the query for the posts whose text may be shown."""
        return shown(self.sources)


EVERYTHING = Access()
"""No source is listed, posts are kept for ever, and nobody has corrected a name."""
