"""The checks of the terms: whether they can be read, and whether posts stay somewhere for longer than they allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cli.doctor.finding import Finding
from core.errors import UserError
from core.terms import UNKNOWN
from streams.settings import Settings
from streams.terms import load_sources
from streams.topics import COMPACT_MS, DECISIONS, EXTRACTIONS, HOUR_MS, SEGMENT_MS

MOST_SOURCES = 1000
"""Most sources of posts in the index that are looked at, the most frequent first."""

DEAD_LETTERS = 4
"""How many times as long as posts dead letters are kept; see `streams.topics.plan`."""

SEGMENT_HOURS = SEGMENT_MS / HOUR_MS
"""How long, in hours, Kafka may keep a record after its retention."""


def sources(config: Settings) -> list[Finding]:
    """Checks that the terms of the sources can be read. Returns nothing if they can."""
    try:
        load_sources(config)
    except UserError as error:
        return [Finding("sources", "broken", str(error), "correct the file, or unset MNER_SOURCES; no worker starts")]
    return []


def obeyed(client: Any, name: str, config: Settings) -> list[Finding]:
    """Compares how long topics and caches keep posts with the terms of the sources whose posts are in the index."""
    if not client.indices.exists_alias(name=name):
        return []
    asked = {"feeds": {"terms": {"field": "feed", "size": MOST_SOURCES}}}
    answer = client.search(index=name, size=0, aggs=asked)
    return retention([bucket["key"] for bucket in answer["aggregations"]["feeds"]["buckets"]], config)


@dataclass(frozen=True)
class Place:
    """A place that no erasure reaches at once. It forgets by age alone."""

    detail: str  # says what stays there, and for how long
    hours: float  # longest time that content stays
    remedy: str


def retention(feeds: Sequence[str], config: Settings) -> list[Finding]:
    """Warns when content of these sources stays somewhere for longer than a deletion may take."""
    try:
        listed = load_sources(config)
    except UserError:
        return []  # `sources` tells it
    hours = {feed: listed.of(feed).delete_within_hours for feed in feeds}
    shortest = min(hours.values(), default=0)
    found = []
    for place in (_topics(config, shortest), _compacted(config), _caches(config, shortest)):
        late = sorted(feed for feed, limit in hours.items() if limit < place.hours)
        detail = f"{place.detail}, but a deleted post of {', '.join(late)} must be gone within {shortest:g} hours"
        unlisted = [feed for feed in late if listed.name_of(feed) == UNKNOWN]
        found += [Finding("terms", "warning", detail, place.remedy + _listing(unlisted))] * bool(late)
    return found


def _topics(config: Settings, shortest: float) -> Place:
    """The topics that Kafka does not compact."""
    longest, least = DEAD_LETTERS * config.retention_hours + SEGMENT_HOURS, DEAD_LETTERS + SEGMENT_HOURS
    detail = (
        f"{config.name('tweets')} keeps posts for {config.retention_hours + SEGMENT_HOURS:g} hours and "
        f"{config.name('tweets.dead')} for {longest:g}"
    )
    remedy = f"no retention is short enough: dead letters stay for {least:g} hours at least; feed no such source"
    if shortest >= least:
        hours_kept = int((shortest - SEGMENT_HOURS) / DEAD_LETTERS)
        remedy = f"set MNER_RETENTION_HOURS={hours_kept}, then run `mner topics create --tighten`"
    return Place(detail, longest, remedy)


def _compacted(config: Settings) -> Place:
    """The compacted topics. `topic settings` tells where a topic has another lag than the plan."""
    names = " and ".join(config.name(name) for name in (EXTRACTIONS, DECISIONS))
    hours = COMPACT_MS / HOUR_MS
    detail = f"Kafka may keep what an erasure replaces in {names} for {hours:g} hours (max.compaction.lag.ms)"
    return Place(detail, hours, "no setting shortens it; feed no such source")


def _caches(config: Settings, shortest: float) -> Place:
    """The caches. An erasure reaches only those of the machine whose worker applies it."""
    from streams.caches import EVERY_S  # loads what reads images

    kept = [config.image.cache_hours] * (config.image.cache_mb > 0)
    kept += [config.vision.cache_hours] * (config.vision.cache > 0)
    late = EVERY_S / 3600
    hours = max(kept) + late if kept else 0.0
    detail = f"caches of other machines than the one that erases a post keep its images for {hours:.3g} hours"
    remedy = f"set MNER_IMAGE_CACHE_HOURS and MNER_VISION_CACHE_HOURS to at most {max(0.0, shortest - late):.3g}"
    return Place(detail, hours, f"{remedy}, where several machines run workers")


def _listing(feeds: Sequence[str]) -> str:
    """Returns how to give sources that are not listed terms of their own."""
    if not feeds:
        return ""
    way = f"list {', '.join(feeds)} in MNER_SOURCES"
    if UNKNOWN in feeds:
        way = "give your posts the field `source`, and list that source in MNER_SOURCES"
    return f"; or {way}, if its terms allow more"
