"""What platforms have said, kept in memory, for tests of stages that need no Elasticsearch for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from core.lifecycle import Lifecycle
from core.standing import Fate, Published, Standing, subject_of
from streams.agents.apply import Apply


class Said:
    """Has the methods of `sinks.index.subjects.Subjects`."""

    def __init__(self) -> None:
        self.standings: dict[str, Standing] = {}

    async def record(self, event: Lifecycle) -> bool:
        subject, held = subject_of(event), self.standings.get(subject_of(event), Standing())
        self.standings[subject] = held.merged(Standing.of(event))
        return self.standings[subject] != held

    async def read(self, subjects: Iterable[str]) -> dict[str, Standing]:
        return {subject: self.standings[subject] for subject in subjects if subject in self.standings}

    async def fates(self, posts: Sequence[Published]) -> list[Fate]:
        return [post.fate(self.standings) for post in posts]


class NoCaches:
    """A machine without caches. Notes what it was told to forget."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    async def forget(self, urls: Iterable[str]) -> None:
        self.forgotten += urls


def applying(index: Any, queue: Any, said: Any = None, producer: Any = None, caches: Any = None) -> Apply:
    """Returns what applies standings to these stores. Without `said`, no platform has said anything."""

    async def send_null(post: str) -> None:
        if producer is not None:
            await producer.send("extractions", post.encode(), None)

    return Apply(index, queue, said or Said(), send_null, caches or NoCaches())  # type: ignore[arg-type]
