"""The topics between the agents: what each holds, for how long, and how they are made.

| topic         | key      | value      | kept                                                     |
| tweets        | tweet id | Tweet      | retention                                                |
| extractions   | tweet id | Extraction | retention; compacted, since only a tweet's latest counts |
| decisions     | tweet id | Decision   | for ever; compacted to a tweet's latest decision         |
| tombstones    | tweet id | Tombstone  | for ever; compacted                                      |
| tweets.dead   | as came  | DeadLetter | four times the retention                                 |
"""

from __future__ import annotations

from dataclasses import dataclass

from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from streams.errors import UserError
from streams.settings import Settings

TWEETS = "tweets"
EXTRACTIONS = "extractions"
DECISIONS = "decisions"
TOMBSTONES = "tombstones"
DEAD = "tweets.dead"

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Topic:
    """A topic to make. `retention_ms` -1: for ever."""

    name: str
    partitions: int
    replication: int
    cleanup: str
    retention_ms: int

    @property
    def config(self) -> dict[str, str]:
        return {"cleanup.policy": self.cleanup, "retention.ms": str(self.retention_ms)}


def plan(settings: Settings) -> list[Topic]:
    """Every topic of this deployment. All share one partition count, so that a tweet's events stay side by side."""
    kept = settings.retention_hours * HOUR_MS
    shape = (settings.partitions, settings.replication)
    return [
        Topic(settings.name(TWEETS), *shape, "delete", kept),
        Topic(settings.name(EXTRACTIONS), *shape, "compact,delete", kept),
        Topic(settings.name(DECISIONS), *shape, "compact", -1),
        Topic(settings.name(TOMBSTONES), *shape, "compact", -1),
        Topic(settings.name(DEAD), *shape, "delete", 4 * kept),
    ]
