"""The figures of an operator's overview, from the index with one request. Builders and readers are pure.

All are numbers, so posts count whose text may not be shown. Erased and hidden posts do not count.

A verdict is right if its action is `accept`: span and type stay as the model had them. Precision counts the verdicts on
uncertain mentions that a person was asked about. Candidates do not count, since the model did not choose them. Neither
do mentions that a person changed without being asked, since people notice only wrong ones. Verdicts on confident
mentions that were drawn at random (`is_audit`) count apart: they measure the promise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from core.errors import UserError
from sinks.index.index import Index
from sinks.queue.values import Counts
from sinks.searching.access import ALIVE
from sinks.share import Share

Step = Literal["minute", "hour", "day"]
STEPS: dict[Step, tuple[str, timedelta]] = {
    "minute": ("1m", timedelta(minutes=1)),
    "hour": ("1h", timedelta(hours=1)),
    "day": ("1d", timedelta(days=1)),
}

MAX_STEPS = 2_000
"""Most steps of a timeline."""

DRIFT_DAYS = 14
"""Days before the end of the period for which the typicality is counted."""

UNUSUAL = 0.1
"""A post with a typicality below this is unusual. So is this share of the posts that the checkpoint was measured on."""

SOURCES, REVIEWERS, REASONS = 20, 100, 1_000
"""Most sources and reviewers that are counted apart, and most reasons of failed images that are read. Those with most
posts come first."""


@dataclass(frozen=True)
class Period:
    """Times from `since` to before `until`, in steps that begin at full minutes, hours or days of UTC.

    A post belongs to the time at which it was received. Posts without that time, such as imported ones, belong to none.
    """

    since: datetime
    until: datetime
    step: Step = "hour"

    def __post_init__(self) -> None:
        if not self.since < self.until <= self.since + MAX_STEPS * STEPS[self.step][1]:
            raise UserError(f"a period has 1 to {MAX_STEPS} {self.step}s: choose another beginning, end or step")


@dataclass(frozen=True)
class SourceDay:
    """The typicality of one source's posts that were received on one day of UTC."""

    source: str
    day: date
    posts: int  # those whose typicality is known
    mean: float
    unusual: int  # posts below `UNUSUAL`

    @property
    def share(self) -> Share:
        return Share(self.unusual, self.posts)


@dataclass(frozen=True)
class Overview:
    """What is counted. `dict`s are in order of their counts, the greatest first."""

    posts: int
    timeline: tuple[tuple[datetime, int], ...]  # begin of each step of the period -> posts received in it
    images: dict[str, int]  # status -> posts of the period
    failures: dict[str, int]  # why an image failed, the first word of its reason -> posts of the period
    typicality: tuple[SourceDay, ...]  # by source, then by day
    decided: int  # posts that a person decided, or that are copies of one
    new: int  # those that were decided after the checkpoint was trained
    bulk: int  # those that were decided with others at once
    by_type: dict[str, Share]  # type that the model chose -> precision of what was asked
    by_source: dict[str, Share]
    audited: Share  # precision of mentions that were drawn at random from the confident ones
    reviewers: dict[str, dict[str, int]]  # reviewer -> action -> verdicts

    def to_review(self, queue: Counts) -> Share:
        """Returns the share of posts that went to a person, or that wait for one."""
        asked = self.decided + queue.open + queue.leased + queue.copies + queue.disputed + queue.flagged
        return Share(min(asked, self.posts), self.posts)


async def read(index: Index, period: Period, model_version: int | None = None) -> Overview:
    """Counts. `model_version`: see `request`. Raises as `Index.search` does."""
    body = request(period, model_version)
    answer = await index.ask(
        lambda client: client.search(index=index.name, body=body, allow_partial_search_results=False)
    )
    return overview(answer)


def request(period: Period, model_version: int | None = None) -> dict[str, Any]:
    """Returns the body of the search.

    `model_version`: Unix time, in seconds, at which the checkpoint was trained. Decisions after it are new, and
    precision is that of its own mentions. None: all decisions are new, and precision is that of all checkpoints.
    """
    received = _between("received_at", period.since, period.until)
    drift = _between("received_at", period.until - timedelta(days=DRIFT_DAYS), period.until)
    return {
        "query": ALIVE,
        "size": 0,
        "track_total_hits": True,
        "aggs": {
            "received": {"filter": received, "aggs": {"timeline": _timeline(period), "images": IMAGES}},
            "drift": {"filter": drift, "aggs": {"sources": _by("feed", SOURCES, {"days": DAYS})}},
            "human": {"filter": {"term": {"source": "human"}}, "aggs": _human(model_version)},
        },
    }


def _between(field: str, since: datetime, until: datetime) -> dict[str, Any]:
    return {"range": {field: {"gte": since.isoformat(), "lt": until.isoformat()}}}


def _by(field: str, size: int, inner: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"terms": {"field": field, "size": size}} | ({"aggs": dict(inner)} if inner else {})


def _timeline(period: Period) -> dict[str, Any]:
    """Also returns the steps without posts."""
    interval, _ = STEPS[period.step]
    last = period.until - timedelta(milliseconds=1)
    bounds = {"min": _milliseconds(period.since), "max": _milliseconds(last)}
    options = {"field": "received_at", "fixed_interval": interval, "min_doc_count": 0, "extended_bounds": bounds}
    return {"date_histogram": options}


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


IMAGES = _by("image.status", 10, {"reasons": _by("image.reason", REASONS)})

DAYS: dict[str, Any] = {
    "date_histogram": {"field": "received_at", "fixed_interval": "1d", "min_doc_count": 1},
    "aggs": {
        "typicality": {"stats": {"field": "typicality"}},
        "unusual": {"filter": {"range": {"typicality": {"lt": UNUSUAL}}}},
    },
}

RIGHT: dict[str, Any] = {"right": {"filter": {"term": {"verdicts.action": "accept"}}}}


def _verdicts(inner: Mapping[str, Any]) -> dict[str, Any]:
    return {"nested": {"path": "verdicts"}, "aggs": dict(inner)}


def _where(inner: Mapping[str, Any], **flags: bool) -> dict[str, Any]:
    """Returns the aggregation over the verdicts with these flags."""
    filters = [{"term": {f"verdicts.{name}": value}} for name, value in flags.items()]
    return {"filter": {"bool": {"filter": filters}}, "aggs": dict(inner)}


def _asked(inner: Mapping[str, Any]) -> dict[str, Any]:
    return _verdicts({"asked": _where(inner, is_asked=True, is_candidate=False, is_audit=False)})


def _human(model_version: int | None) -> dict[str, Any]:
    """Returns the aggregations over the posts that a person decided."""
    new: dict[str, Any] = {"match_all": {}}
    own = new
    if model_version is not None:
        trained = datetime.fromtimestamp(model_version, UTC)
        new, own = {"range": {"decided_at": {"gt": trained.isoformat()}}}, {"term": {"model_version": model_version}}
    measured = {
        "types": _asked({"each": _by("verdicts.type_before", 10, RIGHT)}),
        "sources": _by("feed", SOURCES, {"verdicts": _asked(RIGHT)}),
        "audited": _verdicts({"drawn": _where(RIGHT, is_audit=True)}),
    }
    return {
        "new": {"filter": new},
        "bulk": {"filter": {"exists": {"field": "bulk_id"}}},
        "own": {"filter": own, "aggs": measured},
        "reviewers": _by("reviewer", REVIEWERS, {"verdicts": _verdicts({"actions": _by("verdicts.action", 10)})}),
    }


def overview(answer: Mapping[str, Any]) -> Overview:
    """Reads Elasticsearch's answer to `request`."""
    found = answer["aggregations"]
    received, human, own = found["received"], found["human"], found["human"]["own"]
    images = received["images"]["buckets"]
    return Overview(
        posts=answer["hits"]["total"]["value"],
        timeline=tuple((_moment(each["key"]), each["doc_count"]) for each in received["timeline"]["buckets"]),
        images={status["key"]: status["doc_count"] for status in images},
        failures=_failures(images),
        typicality=tuple(_source_days(found["drift"]["sources"]["buckets"])),
        decided=human["doc_count"],
        new=human["new"]["doc_count"],
        bulk=human["bulk"]["doc_count"],
        by_type={each["key"]: _share(each) for each in own["types"]["asked"]["each"]["buckets"]},
        by_source={
            each["key"]: _share(each["verdicts"]["asked"])
            for each in own["sources"]["buckets"]
            if each["verdicts"]["asked"]["doc_count"]
        },
        audited=_share(own["audited"]["drawn"]),
        reviewers={
            each["key"]: {action["key"]: action["doc_count"] for action in each["verdicts"]["actions"]["buckets"]}
            for each in human["reviewers"]["buckets"]
        },
    )


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _share(bucket: Mapping[str, Any]) -> Share:
    return Share(bucket["right"]["doc_count"], bucket["doc_count"])


def _failures(statuses: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Counts the failed images by the first word of the reason. The rest of it quotes a stranger."""
    counts: Counter[str] = Counter()
    for status in statuses:
        if status["key"] == "failed":
            for reason in status["reasons"]["buckets"]:
                counts[reason["key"].partition(":")[0]] += reason["doc_count"]
            counts["other"] += status["doc_count"] - counts.total()
    return {kind: count for kind, count in counts.most_common() if count}


def _source_days(sources: Iterable[Mapping[str, Any]]) -> Iterable[SourceDay]:
    for source in sources:
        for day in source["days"]["buckets"]:
            typicality = day["typicality"]
            if typicality["count"]:
                name, moment, unusual = source["key"], _moment(day["key"]).date(), day["unusual"]["doc_count"]
                yield SourceDay(name, moment, typicality["count"], typicality["avg"], unusual)
