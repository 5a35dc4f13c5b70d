"""The Elasticsearch index: idempotent, versioned writes with an outcome for each document, and searches.

Failure contract:

- A server that is away, slow or overloaded raises `Retry`. Writing again is safe, because a repeated write is stale.
- A server that refuses our credentials, or is not Elasticsearch, raises `Stop`.
- A fault of a single document in a bulk request is that document's `Outcome`. The other documents are written.
"""

from __future__ import annotations

import json
import logging
import re
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

from core.errors import Retry, Stop, UserError
from sinks.document import Document, stored
from sinks.mapping import TEMPLATE, missing_fields
from sinks.search import ALIVE, Entity, Results, entities, entities_request, request, results

log = logging.getLogger(__name__)

#: What Elasticsearch says, with status 400 or 500, of a query with too many words.
TOO_LONG = re.compile(r"too[ _]many[ _](?:nested[ _])?clauses|too_complex_to_determinize", re.IGNORECASE)

#: Largest size of one bulk request. The vendor advises 5 to 15 MB.
BULK_BYTES = 5_000_000


@dataclass(frozen=True)
class Outcome:
    """The result of writing one document.

    - written: the index holds it.
    - stale: the index already holds a document with the same or a greater version, so nothing is left to do.
    - retry: write it again later.
    - rejected: it can never be written; `reason` says why.
    """

    kind: Literal["written", "stale", "retry", "rejected"]
    reason: str = ""


class Index:
    """One deployment's index of posts. All reads and writes go through its alias."""

    def __init__(self, url: str, name: str, timeout_s: float = 30.0) -> None:
        """`name` is the alias; the first index behind it is called `name-1`."""
        self.name = name
        self._where = _address(url)
        try:
            self._client = AsyncElasticsearch(url, max_retries=0, retry_on_timeout=False, request_timeout=timeout_s)
        except ValueError as error:
            raise Stop(f"Elasticsearch at {self._where}: {error}") from None

    async def prepare(self) -> None:
        """Creates template, index and alias if they are missing, and adds fields that an older index lacks.

        Several workers may do this at the same time. Raises `Stop` when an index already has the alias's name.
        """
        with self._reaching():
            await self._client.indices.put_index_template(
                name=self.name,
                index_patterns=[f"{self.name}-*"],
                priority=len(self.name),  # where the patterns of two deployments overlap, the more specific one wins
                template=TEMPLATE,
            )
            if await self._client.indices.exists_alias(name=self.name):
                await self._add_missing_fields()
                return
            try:
                await self._client.indices.create(index=f"{self.name}-1", aliases={self.name: {"is_write_index": True}})
            except BadRequestError as error:
                if error.error != "resource_already_exists_exception":
                    raise

    async def _add_missing_fields(self) -> None:
        """Changes nothing where the mapping is complete: a write would fail while a full disk blocks the index."""
        indexes = await self._client.indices.get_mapping(index=self.name)
        for index, held in indexes.items():
            if missing := missing_fields(held["mappings"].get("properties", {})):
                await self._client.indices.put_mapping(index=index, properties=missing)

    async def write(self, documents: Sequence[Document]) -> list[Outcome]:
        """Writes the documents in order; returns one outcome each. Raises `Retry` when the server takes none."""
        outcomes: list[Outcome] = []
        for lines in _requests(documents):
            with self._reaching():
                answer = await self._client.bulk(operations=cast(Any, lines), index=self.name, require_alias=True)
            items = [item["index"] for item in answer["items"]]
            if any(_index_is_missing(item) for item in items):
                await self.prepare()  # the index was deleted while we ran; the outcome of these items is `retry`
            outcomes.extend(self._triage(item) for item in items)
        return outcomes

    async def get(self, tweet_id: str) -> Document | None:
        """Returns the document as it is now, even if it is not searchable yet. None if there is none."""
        with self._reaching():
            try:
                answer = await self._client.get(index=self.name, id=tweet_id)
            except NotFoundError:
                return None
        return stored(answer.body)

    async def held(self, tweet_ids: Sequence[str]) -> dict[str, Document]:
        """Returns the documents of these posts by id, without those that the index does not hold."""
        if not tweet_ids:
            return {}
        with self._reaching():
            answer = await self._client.mget(index=self.name, ids=list(tweet_ids))
        return {item["_id"]: stored(item) for item in answer["docs"] if item.get("found")}

    async def search(self, words: str, entity_type: str | None = None, limit: int = 10) -> Results:
        """Searches posts by text and mentions, best first; see `sinks.search.request`. Never finds erased ones."""
        with self._reaching(), self._understanding():
            answer = await self._client.search(index=self.name, body=request(words, entity_type, limit))
        return results(answer.body)

    async def entities(self, words: str = "", entity_type: str | None = None, limit: int = 10) -> list[Entity]:
        """Returns the names that most posts mention."""
        with self._reaching(), self._understanding():
            body = entities_request(words, entity_type, limit)
            answer = await self._client.search(index=self.name, body=body)
        return entities(answer.body, limit)

    async def count(self) -> int:
        """Returns the number of posts that can be found. Erased ones do not count."""
        with self._reaching():
            answer = await self._client.count(index=self.name, query=ALIVE)
        return int(answer["count"])

    async def refresh(self) -> None:
        """Makes every earlier write searchable now. Otherwise it takes up to a second."""
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
        # a write block (full disk, rebuild in progress) concerns the whole index, not this document
        if status == 429 or status >= 500 or error.get("type") == "cluster_block_exception" or _index_is_missing(item):
            return Outcome("retry", reason)
        return Outcome("rejected", reason)

    @contextmanager
    def _understanding(self) -> Iterator[None]:
        """Turns Elasticsearch's refusal of a query into `UserError`."""
        try:
            yield
        except ApiError as error:
            message = _message(error)
            if TOO_LONG.search(message):
                raise UserError("the query is too long for this Elasticsearch: use fewer words") from None
            if error.status_code != 400:
                raise
            log.info("Elasticsearch at %s refuses a query: %s", self._where, message)
            raise UserError("the index cannot answer this query: use fewer or simpler words") from None

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turns the client's errors into `Retry` and `Stop`."""
        try:
            yield
        except (AuthenticationException, AuthorizationException) as error:
            raise Stop(f"Elasticsearch at {self._where} refuses our credentials: {_message(error)}") from None
        except UnsupportedProductError:
            raise Stop(f"the server at {self._where} is not Elasticsearch") from None
        except NotFoundError:
            raise Stop(f"Elasticsearch at {self._where} has no index {self.name!r}; a worker creates it") from None
        except ApiError as error:
            if error.status_code in {408, 429} or error.status_code >= 500:
                raise Retry(f"Elasticsearch at {self._where} answers {_message(error)}") from None
            raise Stop(f"Elasticsearch at {self._where} answers {_message(error)}") from None
        except TlsError as error:
            raise Stop(f"no TLS connection to Elasticsearch at {self._where}: {error.message}") from None
        except TransportError as error:
            raise Retry(f"Elasticsearch at {self._where} is away: {error.message}") from None


def _requests(documents: Iterable[Document]) -> Iterator[list[bytes]]:
    """Yields bulk bodies of at most `BULK_BYTES`. A larger document travels alone."""
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


def _index_is_missing(item: Mapping[str, Any]) -> bool:
    return bool(item["status"] == 404 and item.get("error", {}).get("type") == "index_not_found_exception")


def _reason(error: Mapping[str, Any]) -> str:
    """Returns the error's reason and its cause's: first the field, then what is wrong with its value."""
    cause = error.get("caused_by") or {}
    return "; ".join(str(part["reason"]) for part in (error, cause) if part.get("reason")) or "no reason given"


def _message(error: ApiError) -> str:
    details = error.body.get("error") if isinstance(error.body, dict) else None
    return f"{error.status_code} {error.error}: {_reason(details)}" if isinstance(details, dict) else str(error)


def _address(url: str) -> str:
    """Returns host and port, without the password."""
    return urlsplit(url).netloc.rpartition("@")[2]
