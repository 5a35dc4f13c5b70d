"""Searches the index: a page of hits with its facets and timeline, or all hits, for an export."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from sinks.index.index import Index
from sinks.searching.access import Access
from sinks.searching.hits import Hit, read_hit
from sinks.searching.request import LEFT_OUT, Found, Search, Spans
from sinks.searching.state import SearchState

PAGE = 500
"""Posts of an export that are read at once."""


async def search(index: Index, state: SearchState, access: Access, size: int = 20) -> Found:
    """Returns a page of what the state asks for, with `size` hits, up to `request.MAX_PAGE`.

    Raises `UserError` when the state cannot be used, `Retry` and `Stop` as `Index.search` does.
    """
    asked = Search(state, access, size)
    hits, contents, (times, spans) = await asyncio.gather(
        _answer(index, asked.hits_request()), _answer(index, asked.contents_request()), _times(index, asked)
    )
    return asked.found(hits, (contents, times), spans)


async def _times(index: Index, asked: Search) -> tuple[Mapping[str, Any], Spans]:
    ends = await asyncio.gather(*(_answer(index, body) for body in asked.ends_requests()))
    spans = asked.spans(ends)
    return await _answer(index, asked.times_request(spans)), spans


async def total(index: Index, state: SearchState, access: Access) -> int:
    """Returns the number of posts that the state asks for. Raises as `search` does."""
    query = Search(state, access).everything
    answer = await index.ask(lambda client: client.count(index=index.name, query=query))
    return int(answer["count"])


async def documents(index: Index, state: SearchState, access: Access) -> AsyncGenerator[Mapping[str, Any], None]:
    """Yields the bodies of all documents that the state asks for, in the order of their ids.

    They are those of a point in time, as they are when they are read. A post that was erased, hidden or has expired
    since then is left out. The order and the page of the state do not count. Raises as `search` does.
    """
    query = Search(state, access).everything
    async for ids in index.pages(query, PAGE):
        held = await index.held(ids)
        for post in ids:
            document = held.get(post)
            if document is not None and access.may_find(document):
                yield document.body


async def _answer(index: Index, body: Mapping[str, Any]) -> Mapping[str, Any]:
    return await index.ask(lambda client: client.search(index=index.name, body=dict(body)))


async def posts(index: Index, ids: Sequence[str], access: Access, state: SearchState) -> list[Hit]:
    """Returns the posts with these ids that may be found, in the order of the ids. Raises as `search` does.

    `state` says which of their mentions match.
    """
    if not ids:
        return []
    query = {"bool": {"filter": [access.found, {"terms": {"id": list(ids)}}]}}
    body = {"query": query, "size": len(ids), "_source": {"excludes": LEFT_OUT}}
    hits = (await _answer(index, body))["hits"]["hits"]
    found = {hit["_id"]: read_hit(hit, access.sources, state, access.names) for hit in hits}
    return [found[one] for one in ids if one in found]
