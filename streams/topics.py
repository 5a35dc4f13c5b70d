"""The topics between the agents: what each holds, for how long, and how they are made.

| topic         | key      | value      | kept                                                     |
| tweets        | tweet id | Tweet      | retention                                                |
| extractions   | tweet id | Extraction | retention; compacted, since only a tweet's latest counts |
| decisions     | tweet id | Decision   | for ever; compacted to a tweet's latest decision         |
| tombstones    | tweet id | Tombstone  | for ever; compacted                                      |
| tweets.dead   | as came  | DeadLetter | four times the retention                                 |
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from core.errors import UserError
from core.events import MAX_DERIVED_BYTES
from streams.settings import Settings

TWEETS = "tweets"
EXTRACTIONS = "extractions"
DECISIONS = "decisions"
TOMBSTONES = "tombstones"
DEAD = "tweets.dead"

HOUR_MS = 3_600_000
EVENT_BYTES = 1_048_588
"""The largest event that a feed may send: Kafka's own default."""

MAX_MESSAGE_BYTES = 8_000_000
"""A dead letter holds any of those, in base64 where need be, and its reason."""


@dataclass(frozen=True)
class Topic:
    """A topic to make. `retention_ms` -1: for ever."""

    name: str
    partitions: int
    replication: int
    cleanup: str
    retention_ms: int
    max_bytes: int

    @property
    def config(self) -> dict[str, str]:
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(self.retention_ms),
            "max.message.bytes": str(self.max_bytes),
        }


def plan(settings: Settings) -> list[Topic]:
    """Every topic of this deployment. All share one partition count, so that a tweet's events stay side by side."""
    kept = settings.retention_hours * HOUR_MS
    shape = (settings.partitions, settings.replication)
    return [
        Topic(settings.name(TWEETS), *shape, "delete", kept, EVENT_BYTES),
        Topic(settings.name(EXTRACTIONS), *shape, "compact,delete", kept, MAX_DERIVED_BYTES),
        Topic(settings.name(DECISIONS), *shape, "compact", -1, MAX_DERIVED_BYTES),
        Topic(settings.name(TOMBSTONES), *shape, "compact", -1, EVENT_BYTES),
        Topic(settings.name(DEAD), *shape, "delete", 4 * kept, MAX_MESSAGE_BYTES),
    ]


def admin(brokers: str) -> KafkaAdminClient:
    """A client for small administration. Raises `UserError` when no broker answers within ten seconds."""
    try:
        return KafkaAdminClient(bootstrap_servers=brokers.split(","), bootstrap_timeout_ms=10_000)
    except (KafkaError, OSError) as error:
        raise UserError(f"no Kafka broker answers at {brokers} ({error}): is it up, is MNER_KAFKA right?") from None


@contextmanager
def _administered(brokers: str) -> Iterator[KafkaAdminClient]:
    """A client as `admin` gives it, closed behind us. Raises `UserError` also for what goes wrong while it is used."""
    client = admin(brokers)
    try:
        yield client
    except KafkaError as error:
        raise UserError(f"Kafka at {brokers} does not answer as it should: {error!r}") from None
    finally:
        client.close()


def missing(brokers: str, settings: Settings) -> list[str]:
    """Topics of the plan that the brokers do not have."""
    with _administered(brokers) as client:
        there = set(client.list_topics())
    return [topic.name for topic in plan(settings) if topic.name not in there]


def create(brokers: str, settings: Settings) -> list[str]:
    """Make what is missing; returns the names made. Topics that exist are left as they are."""
    made = []
    with _administered(brokers) as client:
        there = set(client.list_topics())
        for topic in plan(settings):
            if topic.name in there:
                continue
            try:
                client.create_topics(
                    [NewTopic(topic.name, topic.partitions, topic.replication, topic_configs=topic.config)]
                )
                made.append(topic.name)
            except TopicAlreadyExistsError:
                continue  # another worker was quicker
            except KafkaError as error:
                raise UserError(f"Kafka refused to make topic {topic.name}: {error}") from None
        client.wait_for_topics(made)  # until every broker's metadata shows them
    return made
