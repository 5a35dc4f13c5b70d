"""What a feed writes of its own: dead letters and gaps."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime

from core.events import DeadLetter
from core.feed_gap import FeedGap
from core.moments import read_moment
from core.preserved import preserved
from core.text import shorten
from streams.feeds.source import Gap, Source

MAX_REASON = 2000
STAGE = "feed"
"""Stage of the dead letters that a feed writes."""


def dead_letters(
    source: Source, number: int, raw: bytes, reason: str, error: str, limit: int
) -> Iterator[tuple[bytes, bytes]]:
    """Yields keys and values of one dead letter, each cut shorter than the last, for a topic that takes no more.

    `number` stands for the offset. `limit`: the topic's largest record batch, in bytes. The same bytes of a source have
    the same key again.
    """
    key = f"{source.identity}:{hashlib.sha256(raw).hexdigest()[:32]}"
    for most, most_reason in ((len(raw), MAX_REASON), (limit // 2, 200), (limit // 4, 200), (0, 200)):
        cut = preserved(raw[:most])
        letter = DeadLetter(
            topic=f"feed:{source.name}",
            partition=0,
            offset=number,
            stage=STAGE,
            error=error,
            reason=shorten(reason, most_reason, "..."),
            key=key,
            **cut | {"omitted": cut.get("omitted", 0) + max(0, len(raw) - most)},
        )
        yield key.encode(), letter.model_dump_json().encode()


def gap_record(source: Source, gap: Gap) -> tuple[bytes, bytes]:
    """Returns the key and the value of a gap."""
    value = FeedGap(
        source=source.name,
        identity=source.identity,
        reason=shorten(gap.reason, MAX_REASON, "..."),
        since=_moment(gap.since),
        until=_moment(gap.until),
        size=gap.size,
        noticed_at=datetime.now(UTC),
    )
    return source.name.encode(), value.model_dump_json().encode()


def _moment(seconds: float | None) -> datetime | None:
    """Returns a platform's Unix time, or None if it is none that a date can have."""
    return None if seconds is None else read_moment(seconds)[0]
