"""The Elasticsearch index: idempotent, versioned writes with triage of each item, and searches.

Failure contract: a server that is away, slow or overloaded raises `Retry` (nothing is lost by sending again, since a
repeated write is stale); one that refuses our credentials, or is not Elasticsearch, raises `Stop`. What goes wrong
with a single document of a bulk request is its `Outcome`, and its neighbours are written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from elastic_transport import TlsError
from elasticsearch import (
    ApiError,
    AsyncElasticsearch,
    AuthenticationException,
    AuthorizationException,
    BadRequestError,
    NotFoundError,
    TransportError,
    UnsupportedProductError,
)

from core.errors import Retry, Stop
from sinks.document import Document
from sinks.mapping import TEMPLATE
from sinks.search import ALIVE, Entity, Results, entities, entities_request, request, results

BULK_BYTES = 5_000_000
"""Size of one bulk request at most, 5-15 MB being the vendor's advice."""


@dataclass(frozen=True)
class Outcome:
    """What became of one document.

    written: the index holds it. stale: the index holds something at least as new, so this one is done.
    retry: send it again later. rejected: it can never be written; `reason` says why.
    """

    kind: Literal["written", "stale", "retry", "rejected"]
    reason: str = ""


class Index:
    """`url` of the server, `name` of the alias that everything reads and writes; the index behind it is `name-1`."""

    def __init__(self, url: str, name: str, timeout_s: float = 30.0) -> None:
        self.name = name
        self._where = _address(url)
        try:
            self._client = AsyncElasticsearch(url, max_retries=0, retry_on_timeout=False, request_timeout=timeout_s)
        except ValueError as error:
            raise Stop(f"Elasticsearch at {self._where}: {error}") from None

    async def prepare(self) -> None:
        """Make template, index and alias where they are missing. Several workers may do it at once.

        Raises `Stop` when an index of the alias's own name stands in the way.
        """
        with self._reaching():
            await self._client.indices.put_index_template(
                name=self.name,
                index_patterns=[f"{self.name}-*"],
                priority=len(self.name),  # of two deployments whose patterns overlap, the more specific one wins
                template=TEMPLATE,
            )
            if await self._client.indices.exists_alias(name=self.name):
                return
            try:
                await self._client.indices.create(index=f"{self.name}-1", aliases={self.name: {"is_write_index": True}})
            except BadRequestError as error:
                if error.error != "resource_already_exists_exception":
                    raise

    async def write(self, documents: Sequence[Document]) -> list[Outcome]:
        """Write in the order given, one outcome each. Raises `Retry` when the server as a whole cannot take it."""
        outcomes: list[Outcome] = []
        for lines in _requests(documents):
            with self._reaching():
                answer = await self._client.bulk(operations=cast(Any, lines), index=self.name, require_alias=True)
            items = [item["index"] for item in answer["items"]]
            if any(_unprepared(item) for item in items):
                await self.prepare()  # the index was lost while we ran; the items are sent again
            outcomes.extend(self._triage(item) for item in items)
        return outcomes

    async def get(self, tweet_id: str) -> Document | None:
        """The document as it stands, also when it is not searchable yet."""
        with self._reaching():
            try:
                answer = await self._client.get(index=self.name, id=tweet_id)
            except NotFoundError:
                return None
        return Document(answer["_id"], answer["_version"], answer["_source"])

    async def held(self, tweet_ids: Sequence[str]) -> dict[str, Document]:
        """What the index holds of these tweets; those it does not know are left out."""
        if not tweet_ids:
            return {}
        with self._reaching():
            answer = await self._client.mget(index=self.name, ids=list(tweet_ids))
        return {
            one["_id"]: Document(one["_id"], one["_version"], one["_source"])
            for one in answer["docs"]
            if one.get("found")
        }

    async def search(self, words: str, entity_type: str | None = None, limit: int = 10) -> Results:
        """Tweets by text and mentions, best first; see `sinks.search.request`. Erased ones are never found."""
        with self._reaching():
            answer = await self._client.search(index=self.name, body=request(words, entity_type, limit))
        return results(answer.body)

    async def entities(self, words: str = "", entity_type: str | None = None, limit: int = 10) -> list[Entity]:
        """The names most often mentioned."""
        with self._reaching():
            body = entities_request(words, entity_type, limit)
            answer = await self._client.search(index=self.name, body=body)
        return entities(answer.body, limit)

    async def count(self) -> int:
        """Tweets that can be found, the erased ones not among them."""
        with self._reaching():
            answer = await self._client.count(index=self.name, query=ALIVE)
        return int(answer["count"])

    async def refresh(self) -> None:
        """Make every write so far searchable now, rather than within a second."""
        with self._reaching():
            await self._client.indices.refresh(index=self.name)

    async def close(self) -> None:
        await self._client.close()

    def _triage(self, item: Mapping[str, Any]) -> Outcome:
        status, error = item["status"], item.get("error") or {}
        reason = f"{status} {error.get('type', '')}: {_reason(error)}"
        if status < 300:
            return Outcome("written")
        if status == 409:
            return Outcome("stale")
        if error.get("type") == "security_exception":
            raise Stop(f"Elasticsearch at {self._where} refuses to write to {self.name}: {reason}")
        # a write block (a full disk, a rebuild under way) is the whole index's trouble, not this document's
        if status == 429 or status >= 500 or error.get("type") == "cluster_block_exception" or _unprepared(item):
            return Outcome("retry", reason)
        return Outcome("rejected", reason)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Class the client's errors by what a caller does about them."""
        try:
            yield
        except (AuthenticationException, AuthorizationException) as error:
            raise Stop(f"Elasticsearch at {self._where} refuses our credentials: {_said(error)}") from None
        except UnsupportedProductError:
            raise Stop(f"what answers at {self._where} is not Elasticsearch") from None
        except NotFoundError:
            raise Stop(f"Elasticsearch at {self._where} has no index {self.name!r}: a worker makes it") from None
        except ApiError as error:
            if error.status_code in {408, 429} or error.status_code >= 500:
                raise Retry(f"Elasticsearch at {self._where} answers {_said(error)}") from None
            raise Stop(f"Elasticsearch at {self._where} answers {_said(error)}") from None
        except TlsError as error:
            raise Stop(f"no TLS connection to Elasticsearch at {self._where}: {error.message}") from None
        except TransportError as error:
            raise Retry(f"Elasticsearch at {self._where} is away: {error.message}") from None


def _requests(documents: Iterable[Document]) -> Iterator[list[bytes]]:
    """Bulk bodies of at most `BULK_BYTES`, or one document where that alone is more."""
    lines: list[bytes] = []
    size = 0
    for document in documents:
        action = {"index": {"_id": document.id, "version": document.version, "version_type": "external"}}
        pair = [json.dumps(action).encode(), document.encoded]
        grown = sum(len(line) + 1 for line in pair)
        if lines and size + grown > BULK_BYTES:
            yield lines
            lines, size = [], 0
        lines += pair
        size += grown
    if lines:
        yield lines


def _unprepared(item: Mapping[str, Any]) -> bool:
    return bool(item["status"] == 404 and item.get("error", {}).get("type") == "index_not_found_exception")


def _reason(error: Mapping[str, Any]) -> str:
    """What failed and what that came from: the field, then what is wrong with its value."""
    cause = error.get("caused_by") or {}
    return "; ".join(str(part["reason"]) for part in (error, cause) if part.get("reason")) or "no reason given"


def _said(error: ApiError) -> str:
    return f"{error.status_code} {error.error}: {_reason(error.body.get('error', {}))}" if _told(error) else str(error)


def _told(error: ApiError) -> bool:
    return isinstance(error.body, dict) and isinstance(error.body.get("error"), dict)


def _address(url: str) -> str:
    """Host and port, without what an error message must not show."""
    return urlsplit(url).netloc.rpartition("@")[2]
