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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

from elastic_transport import ObjectApiResponse
from elasticsearch import ApiError, AsyncElasticsearch, NotFoundError, TransportError

from core.errors import Refused, Reject, Retry, Stop, UserError
from core.text import plain
from sinks import blame
from sinks.answers.answer import Reaction, Slow
from sinks.answers.elasticsearch import cause_of, error_of, item_answer
from sinks.connect.elasticsearch import Cluster
from sinks.index.bulk import Pair, RequestSize, pair, parts, size_of
from sinks.index.document import Document, edit_of, stored
from sinks.index.elastic import Alias
from sinks.index.mapping import TEMPLATE
from sinks.index.search import Results, request, results
from sinks.index.transport import classed
from sinks.names.entities import Entity, most_mentioned
from sinks.names.scope import Scope
from sinks.searching.access import ALIVE, EVERYTHING, Access

#: What Elasticsearch says, with status 400 or 500, of a query with too many words.
TOO_LONG = re.compile(r"too[ _]many[ _](?:nested[ _])?clauses", re.IGNORECASE)

KEEP_ALIVE, PAGE = "5m", 500
"""How long Elasticsearch keeps its place between two pages, and the number of posts in a page of `posts_of`."""

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


class Index(Alias):
    """One deployment's index of posts."""

    template = TEMPLATE

    def __init__(self, cluster: Cluster, name: str, timeout_s: float = 30.0) -> None:
        """`name` is the alias; the first index behind it is called `name-1`. Raises `Stop` when the URL is invalid."""
        super().__init__(cluster, name, timeout_s)
        self._size = RequestSize()
        self._blame = blame.Blame(self._answers)

    async def write(self, documents: Sequence[Document]) -> list[Outcome]:
        """Writes the documents in order; returns one outcome each.

        Raises `Retry` when a bulk request fails. Earlier requests of the same call have then been written.
        """
        return await self._write_all([pair(document) for document in documents])

    async def rewrite(self, documents: Sequence[Document]) -> list[Outcome]:
        """Like `write`, but also replaces documents with the same versions: to hide posts, or to show them again."""
        return await self._write_all([pair(document, again=True) for document in documents])

    async def _write_all(self, pairs: Sequence[Pair]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        largest = 0
        for part in parts(pairs, self._size):
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

    async def held(self, tweet_ids: Sequence[str], fields: Sequence[str] | None = None) -> dict[str, Document]:
        """Returns the documents of these posts by id, without those that the index does not hold.

        With `fields`, the documents hold only these. Raises `Retry` when a shard does not answer. Its documents may
        exist.
        """
        options = {} if fields is None else {"source_includes": list(fields)}
        return {item["_id"]: stored(item) for item in await self.found(tweet_ids, **options)}

    async def texts(self, tweet_ids: Sequence[str]) -> dict[str, tuple[int, str | None]]:
        """Returns the edit and the text of these posts by id, without those that the index does not hold.

        The marker of an erased post has no text, and the edit `ERASED_EDIT`. Raises `Retry` when a shard does not
        answer.
        """
        found = await self.found(tweet_ids, source_includes=["text"])
        return {item["_id"]: (edit_of(item["_version"]), item["_source"].get("text")) for item in found}

    async def search(
        self, words: str, entity_type: str | None = None, limit: int = 10, access: Access = EVERYTHING
    ) -> Results:
        """Searches posts by text and mentions, best first; see `sinks.index.search.request`.

        Finds no erased and no hidden posts.
        """
        with self._asking(), self._understanding():
            answer = await self._client.search(index=self.name, body=request(words, entity_type, limit, access))
        self._part(answer.body, "hits", dict)
        return results(answer.body, access)

    async def entities(
        self, words: str = "", entity_type: str | None = None, limit: int = 10, access: Access = EVERYTHING
    ) -> list[Entity]:
        """Returns the `limit` names that the largest number of posts mention.

        Counts the posts that can be found and whose text may be shown.
        """
        return await most_mentioned(self, Scope(type=entity_type, words=words, access=access), limit=limit)

    async def aggregated(self, body: dict[str, Any]) -> Mapping[str, Any]:
        """Sends a search with aggregations, and raises as `search` does. Returns the body of the answer."""
        with self._asking(), self._understanding():
            answer = await self._client.search(index=self.name, body=body)
        self._part(answer.body, "aggregations", dict)
        return answer.body  # type: ignore[no-any-return]

    async def count(self) -> int:
        """Returns the number of posts that can be found. Erased and hidden ones do not count."""
        with self._asking():
            answer = await self._client.count(index=self.name, query=ALIVE)
        return int(self._part(answer.body, "count", int))

    async def ask(
        self, request: Callable[[AsyncElasticsearch], Awaitable[ObjectApiResponse[Any]]]
    ) -> Mapping[str, Any]:
        """Sends another module's request, and raises as `search` does. Returns the body of the answer."""
        with self._asking(), self._understanding():
            answer = await request(self._client)
        return answer.body  # type: ignore[no-any-return]

    async def posts_of(self, author: str) -> AsyncIterator[list[str]]:
        """Yields the ids of all posts of an author that the index holds, hidden ones too, in pages.

        Finds every post whose write was confirmed before the first page was asked for.
        """
        await self.refresh()
        async for ids in self.pages({"bool": {"filter": {"term": {"author.id": author}}}}, PAGE):
            yield ids

    async def pages(self, query: Mapping[str, Any], size: int) -> AsyncIterator[list[str]]:
        """Yields the ids of all documents that the query finds, in the order of the ids, `size` at once.

        They are those of a point in time. Raises as `search` does.
        """
        with self._asking():
            opened = await self._client.open_point_in_time(index=self.name, keep_alive=KEEP_ALIVE)
        point, after = self._part(opened.body, "id", str), None
        try:
            while True:
                with self._asking(), self._understanding():
                    answer = await self._client.search(
                        pit={"id": point, "keep_alive": KEEP_ALIVE},
                        query=query,
                        sort=[{"id": "asc"}],
                        search_after=after,
                        size=size,
                        source=False,
                        track_total_hits=False,
                        allow_partial_search_results=False,
                    )
                hits = self._part(answer.body, "hits", dict)["hits"]
                if not hits:
                    return
                point, after = answer.body.get("pit_id", point), hits[-1]["sort"]
                yield [hit["_id"] for hit in hits]
        finally:
            with suppress(Retry, Stop), self._asking():  # Elasticsearch ends it by itself
                await self._client.close_point_in_time(id=point)

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


def _has_item(body: object) -> bool:
    items = body.get("items") if isinstance(body, Mapping) else None
    return isinstance(items, list) and len(items) == 1 and isinstance(items[0], Mapping)


def _id(pair: Pair) -> str:
    """The action of a document, which holds its id and version."""
    return pair[0].decode()
