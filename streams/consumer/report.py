"""Says in one line each what made a group read from another offset than the committed one."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping

from streams import metrics
from streams.consumer.placement import Placed, Reason

log = logging.getLogger(__name__)

SAYS: Mapping[Reason, str] = {
    "beyond": "Kafka lost records: the group had read further than the log now reaches; reading again:",
    "cut": "the log was cut and has grown again since the group read it; reading again:",
    "recreated": "the topic was deleted and made again; reading:",
    "expired": "Kafka deleted records before they were read; reading:",
}
PERHAPS_EXPIRED = "Kafka deleted records that the group had perhaps read, though it had not committed them; reading:"
"""Of a commit without a note. Earlier versions committed neither the markers of transactions nor what was compacted."""

SHOWN = 4
"""Partitions named in a line."""


def report(placed: Iterable[Placed], agent: str) -> None:
    """Logs one line for each topic and reason, and counts the partitions."""
    grouped: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for one in sorted(placed, key=lambda one: (one.topic, one.partition)):
        metrics.OFFSET_RESETS.labels(agent, one.place.reason).inc()
        had = f"committed {one.commit.offset}" if one.commit else "nothing committed"
        unsure = one.place.reason == "expired" and one.commit is not None and one.commit.topic_id is None
        grouped[one.topic, PERHAPS_EXPIRED if unsure else SAYS[one.place.reason]].append(
            f"{one.partition} from {one.place.offset} ({had}, the log has {one.log.begin} to {one.log.end})"
        )
    for (topic, says), partitions in grouped.items():
        more = f" and {len(partitions) - SHOWN} more" if len(partitions) > SHOWN else ""
        log.warning("%s: %s partition %s%s", topic, says, ", ".join(partitions[:SHOWN]), more)
