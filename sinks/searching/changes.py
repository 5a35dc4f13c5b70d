"""Finds the posts that have begun to match a search, by Elasticsearch's sequence numbers.

Elasticsearch numbers the writes of a shard. All writes up to the shard's global checkpoint are complete, and after a
refresh all of them can be found. So who reads up to the checkpoint, and from there on the next time, misses no post,
however late it comes. A document that was written again has its last number only.

https://www.elastic.co/docs/reference/elasticsearch/mapping-reference/mapping-seq-no-field
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import Retry, UserError
from core.text import plain
from sinks.answers.elasticsearch import cause_of
from sinks.index.index import TOO_LONG, Index
from sinks.searching.filters import asked, clauses
from sinks.searching.hits import Hit, read_hit
from sinks.searching.request import LEFT_OUT, MATCHED, Search, highlight
from sinks.searching.words import Clause

PAGE = 50
"""Posts of a shard that one answer holds. The next ones follow with the next request."""

AT_ONCE = 50
"""Searches that one request holds."""

MOST_SHARDS = 64
"""Shards that a place holds. Beyond that, it forgets those of former indexes."""

PLACE = re.compile(r"[\w-]{1,64}/\d{1,4}=\d{1,18}(?:,[\w-]{1,64}/\d{1,4}=\d{1,18}){0,63}")


@dataclass(frozen=True)
class Shard:
    """A shard of the index behind the alias."""

    index: str
    uuid: str  # of the index; one that is made anew has another
    number: int

    @property
    def key(self) -> str:
        return f"{self.uuid}/{self.number}"


Ends = Mapping[Shard, int]
"""The last write of each shard that can be found. -1: the shard is empty."""


@dataclass(frozen=True)
class Place:
    """How far somebody has read: the number after the last write, by `Shard.key`."""

    shards: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return ",".join(f"{key}={number}" for key, number in sorted(self.shards.items()))

    @classmethod
    def read(cls, text: str) -> Place:
        """Reads the text of a place. Raises `UserError` for any other text."""
        if not PLACE.fullmatch(text):
            raise UserError(f"the place {plain(text, 60)!r} is none that the desk has given; leave it out")
        return cls({key: int(number) for key, _, number in (part.partition("=") for part in text.split(","))})

    @classmethod
    def at(cls, ends: Ends) -> Place:
        """Returns the place after all present writes."""
        return cls({shard.key: end + 1 for shard, end in ends.items()})

    def moved(self, shards: Mapping[str, int]) -> Place:
        return Place({**self.shards, **shards})

    def at_most(self, ends: Ends) -> Place:
        """Returns the place without former indexes, if it holds too many shards."""
        if len(self.shards) <= MOST_SHARDS:
            return self
        present = {shard.key for shard in ends}
        return Place({key: number for key, number in self.shards.items() if key in present})


@dataclass(frozen=True)
class Ask:
    """What somebody wants to know: the posts that match since `after`, and which of `shown` match no more."""

    search: Search
    after: Place
    shown: Sequence[str] = ()


@dataclass(frozen=True)
class Change:
    """A post that matches, and the place after it."""

    hit: Hit
    version: int
    after: Place


@dataclass(frozen=True)
class Batch:
    """The answer to an `Ask`."""

    after: Place
    changes: tuple[Change, ...] = ()
    #: Ids of `Ask.shown` that were erased, hidden or changed, and match no more.
    gone: tuple[str, ...] = ()
    #: Whether more posts are waiting.
    more: bool = False
    #: Whether another index has taken the place of the former one, so that posts may be missing.
    gap: bool = False
    #: Why Elasticsearch does not answer this search.
    fault: str = ""


async def ends(index: Index) -> Ends:
    """Returns how far the index can be read after a refresh. Raises as `Index.search` does."""
    answer = await index.ask(
        lambda client: client.options(ignore_status=404).indices.stats(index=index.name, metric="docs", level="shards")
    )
    found: dict[Shard, int] = {}
    for name, held in answer.get("indices", {}).items():
        for number, copies in held.get("shards", {}).items():
            for copy in copies:
                if copy["routing"]["primary"] and "seq_no" in copy:
                    found[Shard(name, held["uuid"], int(number))] = copy["seq_no"]["global_checkpoint"]
    return found


async def read(index: Index, asks: Sequence[Ask], until: Ends) -> list[Batch]:
    """Answers all, in as few requests as possible. `until`: from `ends`, and a refresh came after it.

    Raises as `Index.search` does. A search that Elasticsearch refuses gets a `fault`, and the others their answers.
    """
    batches: list[Batch] = []
    for first in range(0, len(asks), AT_ONCE):
        batches += await _read(index, [_Reading(ask, until) for ask in asks[first : first + AT_ONCE]])
    return batches


async def matching(index: Index, search: Search, post: str, version: int) -> Hit | None:
    """Returns the post if it still has this version, matches, and may be found at this moment. Raises as `read`."""
    held = (await index.held([post])).get(post)
    if held is None or held.version != version or not search.access.may_find(held):
        return None
    body = _request(search, [{"ids": {"values": [post]}}]) | {"size": 1, "version": True}
    answer = await index.ask(lambda client: client.search(index=index.name, body=body))
    found = [hit for hit in answer["hits"]["hits"] if hit["_version"] == version]
    return read_hit(found[0], search.access.sources, search.state, search.access.names) if found else None


def _request(search: Search, filters: list[Clause]) -> Clause:
    options = MATCHED if search.query.wanted or search.query.signs else None
    return {
        "query": {
            "bool": {
                "must": asked(search.query, search.access, options),
                "filter": [*filters, *clauses(search.state, search.access)],
            }
        },
        "_source": {"excludes": LEFT_OUT},
        "track_total_hits": False,
    } | highlight(search.query)


class _Reading:
    """The searches of one `Ask`, and the way from their answers to its `Batch`."""

    def __init__(self, ask: Ask, until: Ends) -> None:
        self._ask, self._until = ask, until
        #: An empty place is that of a time without an index, so whatever came since then is new.
        self._known = known = ask.after.shards or {shard.key: 0 for shard in until}
        self._anew = [shard for shard, end in until.items() if not 0 <= known.get(shard.key, -1) <= end + 1]
        self._open = [shard for shard, end in until.items() if shard not in self._anew and known[shard.key] <= end]

    @property
    def searches(self) -> list[Any]:
        found: list[Any] = []
        for shard in self._open:
            header = {
                "index": shard.index,
                "preference": f"_shards:{shard.number}",
                "allow_partial_search_results": False,
            }
            bounds = {"gte": self._known[shard.key], "lte": self._until[shard]}
            written: Clause = {"range": {"_seq_no": bounds}}
            found += [header, _request(self._ask.search, [written]) | IN_ORDER]
            if self._ask.shown:
                found += [header, self._gone(written)]
        return found

    def _gone(self, written: Clause) -> Clause:
        shown = {"ids": {"values": list(self._ask.shown)}}
        query = {"bool": {"filter": [written, shown], "must_not": self._ask.search.everything}}
        return {"query": query, "size": len(self._ask.shown), "_source": False, "track_total_hits": False}

    def batch(self, answers: Sequence[Mapping[str, Any]]) -> Batch:
        after = self._ask.after.moved({shard.key: self._until[shard] + 1 for shard in self._anew})
        gap = bool(self._anew and self._ask.after.shards)
        if fault := next((answer for answer in answers if "error" in answer), None):
            if fault.get("status") != 400 and not TOO_LONG.search(str(fault)):
                raise Retry(f"Elasticsearch cannot answer a search now: {plain(cause_of(fault), 200)}")
            return Batch(self._ask.after, fault=plain(cause_of(fault), 200))
        changes: list[Change] = []
        gone: list[str] = []
        more = False
        rest = iter(answers)
        for shard in self._open:
            hits = next(rest)["hits"]["hits"]
            for hit in hits:
                after = after.moved({shard.key: hit["_seq_no"] + 1})
                changes.append(Change(self._hit(hit), hit["_version"], after))
            if len(hits) < PAGE:
                after = after.moved({shard.key: self._until[shard] + 1})
            else:
                more = True
            if self._ask.shown:
                gone += [hit["_id"] for hit in next(rest)["hits"]["hits"]]
        return Batch(after.at_most(self._until), tuple(changes), tuple(gone), more, gap)

    def _hit(self, hit: Mapping[str, Any]) -> Hit:
        access, state = self._ask.search.access, self._ask.search.state
        return read_hit(hit, access.sources, state, access.names)


IN_ORDER: Clause = {"size": PAGE, "sort": [{"_seq_no": "asc"}], "seq_no_primary_term": True, "version": True}


async def _read(index: Index, readings: Sequence[_Reading]) -> list[Batch]:
    searches = [reading.searches for reading in readings]
    answers: list[Mapping[str, Any]] = []
    if any(searches):
        lines = [line for each in searches for line in each]
        answer = await index.ask(lambda client: client.msearch(searches=lines))
        answers = list(answer["responses"])
        if len(answers) * 2 != len(lines):
            raise Retry(f"Elasticsearch answered {len(answers)} of {len(lines) // 2} searches")
    batches, first = [], 0
    for reading, lines_of in zip(readings, searches, strict=True):
        last = first + len(lines_of) // 2
        batches.append(reading.batch(answers[first:last]))
        first = last
    return batches
