"""Names that begin with a text, for suggestions while a person types."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from core.spelling import normalise
from sinks.names.scope import EVERYTHING, Scope
from sinks.names.tally import FLAT

if TYPE_CHECKING:
    from sinks.index.index import Index

SHORTEST, LONGEST = 1, 100
SIGNS = re.compile(r'[.?+*|{}\[\]()"\\#@&<>~^$-]')
"""Signs with a meaning in Lucene's regular expressions."""


async def beginning_with(
    index: Index, beginning: str, scope: Scope = EVERYTHING, limit: int = 8
) -> list[tuple[str, int]]:
    """Returns names of the index and how many posts mention each, most first. Names in old documents are not found."""
    wanted = normalise(beginning)
    if not SHORTEST <= len(wanted) <= LONGEST or not beginning.strip():
        return []
    pattern = SIGNS.sub(r"\\\g<0>", wanted) + ".*"
    names: dict[str, Any] = {"terms": {"field": FLAT, "include": pattern, "size": limit}}
    body = {
        "query": {"bool": {"filter": [*scope.posts, {"prefix": {FLAT: wanted}}]}},
        "size": 0,
        "track_total_hits": False,
        "aggs": {"names": names},
    }
    found = (await index.aggregated(body))["aggregations"]["names"]["buckets"]
    return [(bucket["key"], bucket["doc_count"]) for bucket in found]
