"""The topics between the agents: what each holds, how long its records are kept, and how the topics are created.

| topic         | key      | value      | kept                                                     |
| tweets        | tweet id | Tweet      | retention                                                |
| extractions   | tweet id | Extraction | retention; compacted, since only the latest counts       |
| decisions     | tweet id | Decision   | for ever; compacted to the latest decision of a post     |
| tombstones    | event    | Lifecycle  | for ever; compacted                                      |
| tweets.dead   | original | DeadLetter | four times the retention                                 |
| feeds.gaps    | source   | FeedGap    | four times the retention                                 |
| desk          | name     | by its key | for ever; compacted to the latest value of a key         |
| thresholds    | unique   | DrawnAnswer | for ever; compacted, but no key comes twice             |

Compaction drops a record at most `COMPACT_MS` after a newer one of its key was written, or later in a partition that
gets no other record. Retention drops a record at most `SEGMENT_MS` after its time is over, and a few minutes, since
brokers look every five minutes (`log.retention.check.interval.ms`). Records bear the time at which the broker appended
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from kafka.admin import ConfigResource, KafkaAdminClient, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from core.errors import UserError
from core.events import MAX_DERIVED_BYTES
from sinks.answers.answer import Reaction
from sinks.answers.kafka import answer
from sinks.connect.kafka import Brokers, KafkaServer, client_options
from sinks.connect.probe import cause, look
from streams.settings import Settings

TWEETS = "tweets"
EXTRACTIONS = "extractions"
DECISIONS = "decisions"
TOMBSTONES = "tombstones"
DEAD = "tweets.dead"
GAPS = "feeds.gaps"
DESK = "desk"
THRESHOLDS = "thresholds"

HOUR_MS = 3_600_000
EVENT_BYTES = 1_048_588
"""Largest event that a feed may send, in bytes. It is Kafka's default."""

SEGMENT_MS = HOUR_MS
"""Longest time for which a segment of a topic with a retention takes records. Kafka deletes whole segments, so a record
may stay for this time after its retention."""

COMPACT_MS = 6 * HOUR_MS
"""Longest time for which compaction may leave a record that a newer one replaced. Erased posts must go within a day."""

MAX_MESSAGE_BYTES = 8_000_000
"""Largest dead letter, in bytes. It holds an event, in base64 if necessary, and the reason."""


class Unreachable(UserError):
    """No broker answers, or none can answer now."""


@dataclass(frozen=True)
class Topic:
    """A topic to create. A `retention_ms` of -1 keeps records for ever."""

    name: str
    partitions: int
    replication: int
    cleanup: str
    retention_ms: int
    max_bytes: int

    @property
    def config(self) -> dict[str, str]:
        """The settings that the plan has an opinion on. The broker's own time counts, so that retention never deletes
        a record because the post in it is old."""
        config = {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(self.retention_ms),
            "max.message.bytes": str(self.max_bytes),
            "message.timestamp.type": "LogAppendTime",
        }
        if "compact" in self.cleanup:
            config["max.compaction.lag.ms"] = str(COMPACT_MS)
        if "delete" in self.cleanup:
            config["segment.ms"] = str(min(self.retention_ms, SEGMENT_MS))
        return config


@dataclass(frozen=True)
class Difference:
    """A setting of an existing topic that differs from the plan."""

    topic: str
    setting: str
    actual: str
    planned: str

    @property
    def tightens(self) -> bool:
        """Whether the planned value makes Kafka delete records that it keeps now, or refuse records that it takes."""
        if self.setting == "cleanup.policy":
            return "delete" in _parts(self.planned) - _parts(self.actual)
        if self.setting == "retention.ms":
            return self.actual == "-1" or 0 <= int(self.planned) < int(self.actual)
        limits = {"max.message.bytes", "max.compaction.lag.ms", "segment.ms"}
        return self.setting in limits and int(self.planned) < int(self.actual)


def plan(settings: Settings) -> list[Topic]:
    """Returns every topic of this deployment.

    All have the same number of partitions, so that a post's events have the same partition in each. But `thresholds`
    has one, which gives its records one order.
    """
    kept = settings.retention_hours * HOUR_MS
    shape = (settings.partitions, settings.replication)
    return [
        Topic(settings.name(TWEETS), *shape, "delete", kept, EVENT_BYTES),
        Topic(settings.name(EXTRACTIONS), *shape, "compact,delete", kept, MAX_DERIVED_BYTES),
        Topic(settings.name(DECISIONS), *shape, "compact", -1, MAX_DERIVED_BYTES),
        Topic(settings.name(TOMBSTONES), *shape, "compact", -1, EVENT_BYTES),
        Topic(settings.name(DEAD), *shape, "delete", 4 * kept, MAX_MESSAGE_BYTES),
        Topic(settings.name(GAPS), *shape, "delete", 4 * kept, EVENT_BYTES),
        Topic(settings.name(DESK), *shape, "compact", -1, EVENT_BYTES),
        Topic(settings.name(THRESHOLDS), 1, settings.replication, "compact", -1, EVENT_BYTES),
    ]


def admin(brokers: Brokers, **options: int) -> KafkaAdminClient:
    """Returns an administration client.

    Raises `Unreachable` when no broker answers within ten seconds, and `UserError` when one refuses this client.

    `options` are those of the client. `bootstrap_timeout_ms` sets another limit.
    """
    try:
        if isinstance(brokers, KafkaServer) and brokers.is_secured and (fault := look(brokers)):
            raise fault  # at once: the client would try again until its time is over
        return KafkaAdminClient(**client_options(brokers), **{"bootstrap_timeout_ms": 10_000} | options)
    except (KafkaError, OSError) as failure:
        error = cause(failure, brokers)
        told = answer(error, f"Kafka at {brokers}")
        if told.reaction is Reaction.STOP:
            raise UserError(told.sentence) from None
        remedy = "is it running? is MNER_KAFKA correct?"
        raise Unreachable(f"no Kafka broker answers at {brokers} ({error}): {remedy}") from None


@contextmanager
def administered(brokers: Brokers, **options: int) -> Iterator[KafkaAdminClient]:
    """Yields a client of `admin` and closes it at the end.

    Turns errors of Kafka in the block into `UserError`, those that pass into `Unreachable`.
    """
    client = admin(brokers, **options)
    try:
        yield client
    except KafkaError as error:
        told = answer(error, f"Kafka at {brokers}")
        raise (Unreachable if told.reaction is Reaction.RETRY else UserError)(told.sentence) from None
    finally:
        client.close()


def missing(brokers: Brokers, planned: Sequence[Topic]) -> list[str]:
    """Returns the names of the planned topics that the brokers do not have. Raises `UserError` when Kafka fails."""
    with administered(brokers) as client:
        existing = set(client.list_topics())
    return [topic.name for topic in planned if topic.name not in existing]


def cluster_id(brokers: Brokers) -> str | None:
    """Returns Kafka's id of its cluster, or None where it tells none. Raises `UserError` when Kafka does not answer."""
    client = admin(brokers)
    try:
        found = client.describe_cluster().get("cluster_id")
    except (KafkaError, OSError):
        return None  # an old broker, or an ACL
    finally:
        client.close()
    return found if isinstance(found, str) else None


def differences(client: KafkaAdminClient, planned: Sequence[Topic]) -> list[Difference]:
    """Returns the settings of these existing topics that differ from the plan.

    Raises `UserError` when Kafka does not tell the settings of a topic, since no ACL allows it.
    """
    if not planned:
        return []
    resources = [ConfigResource("TOPIC", topic.name, list(topic.config)) for topic in planned]
    described = client.describe_configs(resources, config_filter="all")["topic"]
    for topic in planned:
        if topic.config.keys() - described[topic.name].keys():
            told = "Kafka does not tell our user its settings; an ACL must allow DescribeConfigs"
            raise UserError(f"topic {topic.name}: {told}")
    return [
        Difference(topic.name, setting, actual, value)
        for topic in planned
        for setting, value in topic.config.items()
        if _parts(actual := str(described[topic.name][setting]["value"])) != _parts(value)
    ]


def _parts(value: str) -> set[str]:
    """Returns the parts of a setting: the order of `cleanup.policy` has no meaning."""
    return set(value.split(","))


def mend(
    brokers: Brokers, planned: Sequence[Topic], *, tighten: bool = False
) -> tuple[list[Difference], list[Difference]]:
    """Gives the existing topics the settings of the plan. Returns what it changed, and what still differs.

    Settings that would delete or refuse more records change only with `tighten`. Other settings of a topic, such as
    `compression.type`, stay. So does the number of its partitions.
    """
    with administered(brokers) as client:
        existing = set(client.list_topics())
        found = differences(client, [topic for topic in planned if topic.name in existing])
        left = [] if tighten else [one for one in found if one.tightens]
        changed = [one for one in found if one not in left]
        changes: dict[str, dict[str, str]] = {}
        for one in changed:
            changes.setdefault(one.topic, {})[one.setting] = one.planned
        for topic, values in changes.items():
            outcome = client.alter_configs([ConfigResource("TOPIC", topic, values)])["topic"][topic]
            if outcome not in (None, "OK"):
                raise UserError(f"Kafka refused to change topic {topic}: {outcome}")
    return changed, left


def create(brokers: Brokers, planned: Sequence[Topic]) -> list[str]:
    """Creates the missing topics and returns their names. Existing topics stay as they are; see `mend`.

    Raises `UserError` when Kafka fails or refuses to create a topic.
    """
    created = []
    with administered(brokers) as client:
        existing = set(client.list_topics())
        for topic in planned:
            if topic.name in existing:
                continue
            try:
                client.create_topics(
                    [NewTopic(topic.name, topic.partitions, topic.replication, topic_configs=topic.config)]
                )
                created.append(topic.name)
            except TopicAlreadyExistsError:
                continue  # another worker created it first
            except KafkaError as error:
                told = answer(error, f"Kafka at {brokers}", f"topic {topic.name}")
                raise UserError(f"topic {topic.name} is not created: {told.sentence}") from None
        client.wait_for_topics(created)  # until every broker's metadata shows them
    return created
