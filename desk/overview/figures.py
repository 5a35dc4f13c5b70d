"""Gathers all figures of the overview at once. A server that is away costs its own figures only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from core.errors import Retry, Stop, UserError, first_line
from core.threads import Threads
from desk.agreement.watch import AgreementWatch, State
from desk.charts import Columns, columns, day_or_hour
from desk.overview.kafka_watch import Flow, KafkaWatch, Known
from desk.overview.thresholds import Level
from desk.pages import percent
from desk.services import Services
from model.checkpoint import CheckpointInfo, describe
from sinks import overview
from sinks.dead_letters import Tally
from sinks.overview import Overview, Period, SourceDay
from sinks.queue.values import Counts
from sinks.share import Share
from streams.checkpoint import checkpoint_here, runtime_here
from streams.settings import Settings

T = TypeVar("T")

_files = Threads("checkpoint", 1)

HOURS = 24
"""Hours of the timeline."""


@dataclass(frozen=True)
class Promise:
    """The promised precision, and what spot checks by people say about it."""

    target: float
    audited: Share

    @property
    def verdict(self) -> str:
        """`holds`, `broken`, or `open` while the interval holds the target, or nothing was checked."""
        low, high = self.audited.interval
        return "holds" if low >= self.target else "broken" if high < self.target else "open"


@dataclass(frozen=True)
class Drift:
    """The share of unusual posts of one source, day by day. None for a day without posts."""

    source: str
    days: tuple[SourceDay | None, ...]


@dataclass(frozen=True)
class Figures:
    """What the page shows."""

    index: Known[Overview]
    queue: Known[Counts]
    oldest: datetime | None  # when the post of the oldest waiting task was received
    agreement: State | None  # None where one person decides alone
    flow: Known[Flow]
    dead: Known[Tally]
    checkpoint: Known[CheckpointInfo]
    timeline: Columns
    promise: Promise | None
    fixed_threshold: float | None  # that of the settings
    levels: Known[tuple[Level, ...]]  # the thresholds that follow the stream
    to_review: Share | None
    drift_days: tuple[str, ...]
    drift: tuple[Drift, ...]

    @property
    def level_rows(self) -> list[tuple[str, str, int, int, str]]:
        """The numbers behind the picture of the thresholds: source, threshold, right, of, interval."""
        return [
            (
                one.source or "all sources",
                f"{one.threshold:.3f}",
                one.right,
                one.answers,
                f"{percent(one.interval.low, 1)} to {percent(one.interval.high, 1)}",
            )
            for one in self.levels.value or ()
        ]

    @property
    def precision_rows(self) -> list[tuple[str, int, int, str]]:
        """The numbers behind the picture of the promise: name, right, of, share."""
        if self.index.value is None:
            return []
        found = self.index.value
        shares = {"spot checks": found.audited} | found.by_type | found.by_source
        return [(name, share.part, share.whole, percent(share.value, 1)) for name, share in shares.items()]


async def gather(services: Services, watch: KafkaWatch, votes: AgreementWatch, now: datetime) -> Figures:
    """Asks index, queue and Kafka side by side."""
    checkpoint = await _files.run(_checkpoint, services.settings)
    version = checkpoint.value.model_version if checkpoint.value else None
    start = now.replace(minute=0, second=0, microsecond=0)
    period = Period(start - timedelta(hours=HOURS - 1), start + timedelta(hours=1))
    index, queue, since, (flow, dead) = await asyncio.gather(
        _known(overview.read(services.index, period, version)),
        _known(services.queue.counts()),
        _known(services.queue.waiting_since()),
        watch.figures(),
    )
    found, info = index.value, checkpoint.value
    timeline = [(day_or_hour(moment, 3600), posts) for moment, posts in found.timeline] if found else []
    return Figures(
        index,
        queue,
        None if since.value is None else datetime.fromtimestamp(since.value, UTC),
        await votes.state() if services.settings.reviewers > 1 else None,
        flow,
        dead,
        checkpoint,
        columns(timeline),
        Promise(info.target_precision, found.audited) if info and found else None,
        services.settings.threshold,
        await services.thresholds.levels(info) if info else Known(()),
        found.to_review(queue.value) if found and queue.value else None,
        *_drift(found.typicality if found else (), now),
    )


def _drift(found: tuple[SourceDay, ...], now: datetime) -> tuple[tuple[str, ...], tuple[Drift, ...]]:
    first = min((each.day for each in found), default=now.date())
    days = [
        day for ago in range(overview.DRIFT_DAYS - 1, -1, -1) if (day := (now - timedelta(days=ago)).date()) >= first
    ]
    sources = dict.fromkeys(each.source for each in found)
    by_place = {(each.source, each.day): each for each in found}
    labels = tuple(
        f"{day.day} {day:%b}" if not place or day.day == 1 else f"{day.day}" for place, day in enumerate(days)
    )
    return labels, tuple(Drift(source, tuple(by_place.get((source, day)) for day in days)) for source in sources)


def _checkpoint(settings: Settings) -> Known[CheckpointInfo]:
    """Returns the checkpoint with the promise of the runtime that a worker with these settings has on this machine.

    A cascade counts as one checkpoint.
    """
    try:
        if settings.cascade is not None:
            return Known(checkpoint_here(settings))
        info = describe(settings.model)
    except UserError as error:
        return Known(problem=first_line(error))
    try:
        return Known(info.running(runtime_here(settings, info)))
    except UserError:  # here no worker would start with this runtime
        return Known(info)


async def _known(figure: Awaitable[T]) -> Known[T]:
    try:
        return Known(await figure)
    except (Retry, Stop, UserError) as error:
        return Known(problem=first_line(error))


def utc_now() -> datetime:
    return datetime.now(UTC)
