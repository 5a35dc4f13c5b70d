"""Reads and deletes documents of the index that `Index.pages` found.

A page holds ids only, from a point in time. The documents are read when they are needed, as they are then: since the
scan began, they may have been edited, decided, hidden or erased.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import Retry
from core.text import plain
from sinks.index.index import Index

GONE = {200, 404, 409}
"""Outcomes of a deletion: done, done before, and a document that has changed and stays."""


@dataclass(frozen=True)
class Found:
    """A document as it is now, or the requested fields of it."""

    index: str
    id: str
    version: int
    sequence: tuple[int, int]  # sequence number and primary term, which every write changes
    body: Mapping[str, Any]


async def found(index: Index, ids: Sequence[str], fields: Sequence[str]) -> list[Found]:
    """Returns the documents that exist, with these fields."""
    if not ids:
        return []
    answer = await index.ask(lambda client: client.mget(index=index.name, ids=list(ids), source_includes=list(fields)))
    if lost := next((each["error"] for each in answer["docs"] if each.get("error")), None):
        raise Retry(f"the index cannot be read now: {plain(str(lost), 200)}")
    return [
        Found(each["_index"], each["_id"], each["_version"], (each["_seq_no"], each["_primary_term"]), each["_source"])
        for each in answer["docs"]
        if each.get("found")
    ]


async def delete(index: Index, documents: Sequence[Found]) -> int:
    """Deletes these documents, unless they have changed since they were found. Returns how many are gone.

    Raises `Retry` when Elasticsearch keeps one for another reason.
    """
    if not documents:
        return 0
    operations = [
        {"delete": {"_index": each.index, "_id": each.id, "if_seq_no": number, "if_primary_term": term}}
        for each in documents
        for number, term in [each.sequence]
    ]
    answer = await index.ask(lambda client: client.bulk(operations=operations))
    items = [item["delete"] for item in answer["items"]]
    if kept := next((item for item in items if item["status"] not in GONE), None):
        raise Retry(f"the index does not delete post {kept['_id']}: {plain(str(kept.get('error')), 200)}")
    return sum(item["status"] == 200 for item in items)


async def count(index: Index, query: Mapping[str, Any]) -> int:
    """Returns how many documents the query finds."""
    return int((await index.ask(lambda client: client.count(index=index.name, query=query)))["count"])
