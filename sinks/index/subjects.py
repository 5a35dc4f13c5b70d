"""Stores the standings of posts and authors: one document a subject, with the registers of its `Standing`.

Elasticsearch confirms a write only once it is on disk, and answers a read by id with the newest write. So this index is
the source of truth about erased and hidden posts. The index of posts and the queue follow it (docs/lifecycle.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from elasticsearch import ConflictError

from core.errors import Retry, Stop
from core.lifecycle import Lifecycle
from core.standing import Fate, Published, Standing, subject_of
from sinks.index.elastic import Alias

ALIAS = "lifecycle"
"""The alias's name, without the deployment's prefix."""

REMEDY = "restore it from a snapshot, or make it anew as docs/lifecycle.md describes under 'Lost standings'"

TRIES = 10
"""How often an event is merged anew because another worker has changed the same subject meanwhile."""

MAX_ID_BYTES = 512
"""Longest id of a document in Elasticsearch."""

TEMPLATE: dict[str, Any] = {
    "settings": {"number_of_shards": 1, "auto_expand_replicas": "0-1", "refresh_interval": "30s"},
    "mappings": {"dynamic": False, "properties": {"subject": {"type": "keyword", "ignore_above": MAX_ID_BYTES}}},
}


class Subjects(Alias):
    """One deployment's standings, by subject."""

    template = TEMPLATE
    required = True

    async def prepare(self) -> None:
        """Like `Alias.prepare`, but makes the index only once. Raises `Stop` if the index existed before and is gone.

        Without the standings, hidden posts would be written as visible ones. The template is written after the index
        and stays when the index is deleted. So a template without an index means that the index was lost.
        """
        with self._asking():
            made_before = await self._client.indices.exists_index_template(name=self.name)  # before the next question
            if not await self._client.indices.exists_alias(name=self.name):
                if made_before:
                    raise Stop(f"{self._server} lost the index {self.name!r}, which says what is hidden: {REMEDY}")
                await self._create(**self.template)
            else:
                await self._add_missing_fields()
            await self._put_template()

    async def record(self, event: Lifecycle) -> bool:
        """Merges an event into the standing of its subject. Returns whether the standing changed.

        Raises `Retry` when other workers change the same subject all the time.
        """
        subject, added = subject_of(event), Standing.of(event)
        for _ in range(TRIES):
            answer = (await self.found([id_of(subject)])) or [None]
            held = Standing.from_json(answer[0]["_source"]) if answer[0] else Standing()
            merged = held.merged(added)
            if merged == held:
                return False
            if await self._put(subject, merged, answer[0]):
                return True
        raise Retry(f"{self._server}: other workers keep changing what is known of one post or author")

    async def read(self, subjects: Iterable[str]) -> dict[str, Standing]:
        """Returns the standings of these subjects. Subjects without an event are missing."""
        names = {id_of(subject): subject for subject in subjects}
        return {names[item["_id"]]: Standing.from_json(item["_source"]) for item in await self.found(list(names))}

    async def fates(self, posts: Sequence[Published]) -> list[Fate]:
        """Returns the fate of each post, as of now."""
        standings = await self.read(subject for post in posts for subject in post.subjects)
        return [post.fate(standings) for post in posts]

    async def _put(self, subject: str, standing: Standing, held: Mapping[str, Any] | None) -> bool:
        """Writes a standing in place of the document `held`. Returns False if that has changed meanwhile."""
        place: dict[str, Any] = {"op_type": "create"}
        if held is not None:
            place = {"if_seq_no": held["_seq_no"], "if_primary_term": held["_primary_term"]}
        body = {"subject": subject} | standing.to_json()
        with self._asking():
            try:
                await self._client.index(index=self.name, id=id_of(subject), document=body, require_alias=True, **place)
            except ConflictError:
                return False
        return True


def id_of(subject: str) -> str:
    """Returns the id of the subject's document. A long name is hashed."""
    encoded = subject.encode()
    return subject if len(encoded) <= MAX_ID_BYTES else f"sha256:{hashlib.sha256(encoded).hexdigest()}"
