"""The Elasticsearch index: idempotent, versioned writes with an outcome for each document, and searches.

Failure contract:

- Trouble that passes raises `Retry`. Writing again is safe, because a repeated write is stale.
- Trouble that only other settings can end, such as refused credentials, raises `Stop`.
- A fault of a single document in a bulk request becomes that document's `Outcome`. The other documents are written.
- A bulk request that is too large for the server, or for a proxy before it, is halved, down to one document.

`sinks.answers.elasticsearch` says which answer is which.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from elasticsearch import ApiError, AsyncElasticsearch, BadRequestError, NotFoundError, TransportError

from core.errors import Refused, Reject, Retry, Stop, UserError
from core.text import plain
from sinks import blame
from sinks.answers.answer import Reaction, Slow
from sinks.answers.elasticsearch import cause_of, error_of, item_answer
from sinks.bulk import Pair, RequestSize, pair, parts, size_of
from sinks.document import Document, edit_of, stored
from sinks.mapping import TEMPLATE, missing_fields
from sinks.search import (
    ALIVE,
    Entity,
    Results,
    entities,
    entities_request,
    recount_request,
    recounted,
    request,
    results,
    spelled_twice,
)
from sinks.transport import Node, after_s, classed

#: What Elasticsearch says, with status 400 or 500, of a query with too many words.
TOO_LONG = re.compile(r"too[ _]many[ _](?:nested[ _])?clauses", re.IGNORECASE)

KINDS: dict[Reaction, Literal["written", "stale", "retry", "rejected"]] = {
    Reaction.DONE: "written",
    Reaction.STALE: "stale",
    Reaction.RETRY: "retry",
    Reaction.REJECT: "rejected",
}


@dataclass(frozen=True)
class Outcome:
    """The result of writing one document.

    - written: the index holds it.
    - stale: the index already holds a document with the same or a greater version, so nothing is left to do.
    - retry: write it again later.
    - rejected: it can never be written; `reason` says why. `general`: the index may refuse all others for it, too.
    """

    kind: Literal["written", "stale", "retry", "rejected"]
    reason: str = ""
    general: bool = False

    def error(self, message: str) -> Reject:
        """Returns the error for a rejected document."""
        return Refused(message) if self.general else Reject(message)


class Index:
    """One deployment's index of posts. All reads and writes go through its alias."""

    def __init__(self, url: str, name: str, timeout_s: float = 30.0) -> None:
        """`name` is the alias; the first index behind it is called `name-1`. Raises `Stop` when the URL is invalid."""
        self.name = name
        self._where = _address(url)
        self._server = f"Elasticsearch at {self._where}"
        self._size = RequestSize()
        self._blame = blame.Blame(self._answers)
        self._known = False  # whether this server has answered as Elasticsearch
        try:
            self._client = AsyncElasticsearch(
                url, max_retries=0, retry_on_timeout=False, request_timeout=timeout_s, node_class=Node
            )
        except ValueError as error:
            raise Stop(f"Elasticsearch at {self._where}: {error}") from None

    async def prepare(self) -> None:
        """Writes the template, creates index and alias if they are missing, and adds fields that an older index lacks.

        Several workers may do this at the same time. Raises `Stop` when an index already has the alias's name.
        """
        with self._asking():
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
        """Leaves a complete mapping as it is, since a write would fail while a full disk blocks the index."""
        try:
            indexes = await self._client.indices.get_mapping(index=self.name)
            for index, held in indexes.items():
                if missing := missing_fields(held["mappings"].get("properties", {})):
                    await self._client.indices.put_mapping(index=index, properties=missing)
        except NotFoundError:
            raise Retry(f"{self._server} lost the index {self.name!r} while it was prepared") from None

    async def write(self, documents: Sequence[Document]) -> list[Outcome]:
        """Writes the documents in order; returns one outcome each.

        Raises `Retry` when a bulk request fails. Earlier requests of the same call have then been written.
        """
        outcomes: list[Outcome] = []
        largest = 0
        for part in parts([pair(document) for document in documents], self._size):
            outcomes.extend(await self._write(part))
            largest = max(largest, size_of(part))
        self._size.passed(largest)
        return outcomes

    async def _write(self, pairs: Sequence[Pair]) -> list[Outcome]:
        """Writes the documents with one request, or with smaller ones where that is refused."""
        try:
            answer = await self._bulk(pairs)
        except Reject as error:
            if len(pairs) == 1:
                return [Outcome("rejected", str(error))]
            self._size.refused(size_of(pairs))
            half = len(pairs) // 2
            return [*await self._write(pairs[:half]), *await self._write(pairs[half:])]
        except Retry as fault:
            size = size_of(pairs)
            if isinstance(fault, Slow):
                self._size.slow(size)
            if len(pairs) == 1 and await self._blame.is_due(_id(pairs[0]), size, fault):
                return [Outcome("rejected", blame.reason("document", self._server, size, fault))]
            raise
        self._blame.passed(map(_id, pairs))
        if any(error_of(item.get("error"))[0] == "index_not_found_exception" for item in answer):
            await self.prepare()  # the index was deleted while we ran; the outcome of these items is `retry`
        return [self._triage(item) for item in answer]

    async def _bulk(self, pairs: Sequence[Pair]) -> list[Mapping[str, Any]]:
        """Sends one bulk request and returns its items. Raises `Reject` when it, or one of its items, is refused."""
        with self._reaching():
            operations: Any = [line for lines in pairs for line in lines]
            answer = await self._client.bulk(operations=operations, index=self.name, require_alias=True)
        items = self._part(answer.body, "items", list)
        found = [item["index"] for item in items if isinstance(item, dict) and isinstance(item.get("index"), dict)]
        if len(found) != len(pairs):
            raise Retry(f"{self._server} answered for {len(found)} of {len(pairs)} documents")
        return found

    async def get(self, tweet_id: str) -> Document | None:
        """Returns the document as it is now, even if it is not searchable yet, or None if there is none."""
        with self._asking():
            try:
                answer = await self._client.get(index=self.name, id=tweet_id)
            except NotFoundError as error:
                if isinstance(error.body, dict) and error.body.get("found") is False:
                    return None
                raise
        self._part(answer.body, "_source", dict)
        return stored(answer.body)

    async def held(self, tweet_ids: Sequence[str]) -> dict[str, Document]:
        """Returns the documents of these posts by id, without those that the index does not hold.

        Raises `Retry` when a shard does not answer. Its documents may exist.
        """
        return {item["_id"]: stored(item) for item in await self._found(tweet_ids)}

    async def texts(self, tweet_ids: Sequence[str]) -> dict[str, tuple[int, str | None]]:
        """Returns the edit and the text of these posts by id, without those that the index does not hold.

        A tombstone has no text. Raises `Retry` when a shard does not answer.
        """
        found = await self._found(tweet_ids, source_includes=["text"])
        return {item["_id"]: (edit_of(item["_version"]), item["_source"].get("text")) for item in found}

    async def _found(self, tweet_ids: Sequence[str], **options: Any) -> list[Any]:
        if not tweet_ids:
            return []
        with self._asking():
            answer = await self._client.mget(index=self.name, ids=list(tweet_ids), **options)
        items = self._part(answer.body, "docs", list)
        for item in items:
            if item.get("error") and error_of(item["error"])[0] != "index_not_found_exception":
                raise item_answer(item, self._server, self.name).error()
        return [item for item in items if item.get("found")]

    async def search(self, words: str, entity_type: str | None = None, limit: int = 10) -> Results:
        """Searches posts by text and mentions, best first; see `sinks.search.request`. Never finds erased ones."""
        with self._asking(), self._understanding():
            answer = await self._client.search(index=self.name, body=request(words, entity_type, limit))
        self._part(answer.body, "hits", dict)
        return results(answer.body)

    async def entities(self, words: str = "", entity_type: str | None = None, limit: int = 10) -> list[Entity]:
        """Returns the `limit` names that are mentioned in the largest number of posts."""
        with self._asking(), self._understanding():
            body = entities_request(words, entity_type, limit)
            answer = await self._client.search(index=self.name, body=body)
        self._part(answer.body, "aggregations", dict)
        spelled, again = spelled_twice(answer.body), {}
        if spelled:
            with self._asking(), self._understanding():
                body = recount_request(words, entity_type, limit, spelled)
                recount = await self._client.search(index=self.name, body=body)
            self._part(recount.body, "aggregations", dict)
            again = recounted(recount.body, spelled)
        return entities(answer.body, again, limit)

    async def count(self) -> int:
        """Returns the number of posts that can be found. Erased ones do not count."""
        with self._asking():
            answer = await self._client.count(index=self.name, query=ALIVE)
        return int(self._part(answer.body, "count", int))

    async def refresh(self) -> None:
        """Makes every earlier write searchable now. Otherwise a write becomes searchable within a second."""
        with self._asking():
            await self._client.indices.refresh(index=self.name)

    async def close(self) -> None:
        await self._client.close()

    async def _answers(self) -> bool:
        """Returns whether a small write passes: a change of a document that no post can have, since ids have no blanks.

        A proxy may answer reads from its cache, while its Elasticsearch is dead.
        """
        try:
            operations: list[dict[str, Any]] = [{"update": {"_id": "no post"}}, {"doc": {}}]
            answer = await self._client.bulk(operations=operations, index=self.name, require_alias=True)
        except (ApiError, TransportError):
            return False
        item = answer.body["items"][0].get("update", {}) if _has_item(answer.body) else {}
        return error_of(item.get("error"))[0] == "document_missing_exception"

    def _triage(self, item: Mapping[str, Any]) -> Outcome:
        answer = item_answer(item, self._server, self.name)
        if answer.reaction not in KINDS:
            raise answer.error()
        done = answer.reaction in {Reaction.DONE, Reaction.STALE}
        return Outcome(KINDS[answer.reaction], "" if done else answer.sentence, answer.general)

    def _part(self, body: object, name: str, kind: type) -> Any:
        """Returns a field of an answer. Raises `Retry` when the answer lacks it: something else has answered."""
        value = body.get(name) if isinstance(body, Mapping) else None
        if not isinstance(value, kind):
            form = f"the answer of {self._server} does not have the form of Elasticsearch's answers"
            raise Retry(f"{form}: it has no {name!r}")
        self._known = True
        return value

    @contextmanager
    def _understanding(self) -> Iterator[None]:
        """Turns Elasticsearch's refusal of a query into `UserError`."""
        try:
            yield
        except ApiError as error:
            if TOO_LONG.search(str(error.body)):
                raise UserError("the query is too long for this Elasticsearch: use fewer words") from None
            answer = classed(error, self._server, self.name, known=self._known)
            if error.status_code != 400 or answer.reaction is not Reaction.SPLIT:
                raise
            raise UserError(f"{self._server} cannot answer this query: {plain(cause_of(error.body), 300)}") from None

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turns the client's errors into `Retry`, `Reject` and `Stop`."""
        try:
            yield
        except (ApiError, TransportError) as error:
            answer = classed(error, self._server, self.name, known=self._known)
            raise answer.error(after_s(error)) from None
        self._known = True

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Like `_reaching`, for requests that carry no document, so that none can be rejected."""
        try:
            with self._reaching():
                yield
        except Reject as error:
            raise Stop(str(error)) from None


def _has_item(body: object) -> bool:
    items = body.get("items") if isinstance(body, Mapping) else None
    return isinstance(items, list) and len(items) == 1 and isinstance(items[0], Mapping)


def _id(pair: Pair) -> str:
    """The action of a document, which holds its id and version."""
    return pair[0].decode()


def _address(url: str) -> str:
    """Returns host and port, without the password."""
    return urlsplit(url).netloc.rpartition("@")[2]
