"""One alias of Elasticsearch, and the index behind it: the connection, and what every use of it has in common.

Failure contract: trouble that passes raises `Retry`, and trouble that only other settings can end, such as refused
credentials, raises `Stop`. `sinks.answers.elasticsearch` says which answer is which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from elasticsearch import ApiError, AsyncElasticsearch, BadRequestError, NotFoundError, TransportError

from core.errors import Reject, Retry, Stop
from sinks.answers.elasticsearch import error_of, item_answer
from sinks.connect.elasticsearch import Cluster, client_options, server
from sinks.index.mapping import missing_fields
from sinks.index.transport import Node, after_s, classed


class Alias:
    """An alias and the index behind it. All reads and writes go through the alias."""

    template: Mapping[str, Any]
    """Settings and mappings of the index."""

    required = False
    """Whether nothing is read while the index is missing. Otherwise a missing index counts as an empty one."""

    def __init__(self, cluster: Cluster, name: str, timeout_s: float = 30.0) -> None:
        """`name` is the alias; the first index behind it is called `name-1`. Raises `Stop` when a URL is invalid."""
        self.name = name
        told = server(cluster)
        self._where = ", ".join(urlsplit(url).netloc.rpartition("@")[2] for url in told.nodes)
        self._server = f"Elasticsearch at {self._where}"
        self._known = False  # whether this server has answered as Elasticsearch
        try:
            self._client = AsyncElasticsearch(**client_options(told), request_timeout=timeout_s, node_class=Node)
        except ValueError as error:
            raise Stop(f"Elasticsearch at {self._where}: {error}") from None

    async def prepare(self) -> None:
        """Writes the template, creates index and alias if they are missing, and adds fields that an older index lacks.

        Several workers may do this at the same time. Raises `Stop` when an index already has the alias's name.
        """
        with self._asking():
            await self._put_template()
            if await self._client.indices.exists_alias(name=self.name):
                await self._add_missing_fields()
            else:
                await self._create()

    async def _put_template(self) -> None:
        await self._client.indices.put_index_template(
            name=self.name,
            index_patterns=[f"{self.name}-*"],
            priority=len(self.name),  # where the patterns of two deployments overlap, the more specific one wins
            template=self.template,
        )

    async def _create(self, **body: Any) -> None:
        """Creates the index and the alias, unless another worker has done so meanwhile."""
        aliases = {self.name: {"is_write_index": True}}
        try:
            await self._client.indices.create(index=f"{self.name}-1", aliases=aliases, **body)
        except BadRequestError as error:
            if error.error != "resource_already_exists_exception":
                raise

    async def _add_missing_fields(self) -> None:
        """Leaves a complete mapping as it is, since a write would fail while a full disk blocks the index."""
        planned = self.template["mappings"]["properties"]
        try:
            indexes = await self._client.indices.get_mapping(index=self.name)
            for index, held in indexes.items():
                if missing := missing_fields(held["mappings"].get("properties", {}), planned):
                    await self._client.indices.put_mapping(index=index, properties=missing)
        except NotFoundError:
            raise Retry(f"{self._server} lost the index {self.name!r} while it was prepared") from None

    async def found(self, ids: Sequence[str], **options: Any) -> list[Any]:
        """Returns Elasticsearch's answers for these documents as they are now, without those that do not exist.

        Raises `Retry` when a shard does not answer. Its documents may exist. When a `required` index is
        missing, prepares it, then raises `Retry` as well.
        """
        if not ids:
            return []
        with self._asking():
            answer = await self._client.mget(index=self.name, ids=list(ids), **options)
        items = self._part(answer.body, "docs", list)
        faults = [item for item in items if item.get("error")]
        for item in faults:
            if error_of(item["error"])[0] != "index_not_found_exception":
                raise item_answer(item, self._server, self.name).error()
        if faults and self.required:
            await self.prepare()
            raise Retry(f"{self._server} had no index {self.name!r}; it was made")
        return [item for item in items if item.get("found")]

    async def refresh(self) -> None:
        """Makes every earlier write searchable now. Otherwise a write becomes searchable within a second."""
        with self._asking():
            await self._client.indices.refresh(index=self.name)

    async def close(self) -> None:
        await self._client.close()

    def _part(self, body: object, name: str, kind: type) -> Any:
        """Returns a field of an answer. Raises `Retry` when the answer lacks it: something else has answered."""
        value = body.get(name) if isinstance(body, Mapping) else None
        if not isinstance(value, kind):
            form = f"the answer of {self._server} does not have the form of Elasticsearch's answers"
            raise Retry(f"{form}: it has no {name!r}")
        self._known = True
        return value

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
