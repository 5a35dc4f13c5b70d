"""What Kafka says about consumer groups: what they have committed, where the logs end, and who reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import GroupAuthorizationFailedError

OFFSETS, UNKNOWN_TOPIC = "__consumer_offsets", 3
"""The topic in which Kafka keeps what is committed, and the error code of a topic that does not exist."""

NOTHING: Mapping[str, Any] = {"group_state": "", "members": [], "error": None}


@dataclass(frozen=True)
class Look:
    """What Kafka says about a group at one moment. The keys of the mappings are partitions."""

    topic: str
    state: str
    #: the partitions of each member
    members: tuple[frozenset[int], ...]
    committed: Mapping[int, int]
    begins: Mapping[int, int]
    ends: Mapping[int, int]
    error: str = ""

    @property
    def lags(self) -> dict[int, int]:
        """Number of unread records of each partition, never negative."""
        return {
            number: max(0, end - max(self.committed.get(number, 0), self.begins[number]))
            for number, end in self.ends.items()
        }


def looks(client: Any, topics: Mapping[str, str], partitions: Mapping[str, int]) -> dict[str, Look]:
    """Looks at groups. `topics`: group -> its topic. `partitions`: topic -> their number. Raises `KafkaError`.

    Asks first what is committed and then where the logs end, so that a busy worker never seems to be ahead.
    """
    # asking for a group would make Kafka create the topic
    known = client.describe_topics([OFFSETS])[0]["error_code"] != UNKNOWN_TOPIC
    described = {group: _described(client, group) if known else NOTHING for group in topics}
    held = [group for group, one in described.items() if known and not one["error"]]
    committed = client.list_group_offsets(held) if held else {}
    places = [TopicPartition(topic, number) for topic in topics.values() for number in range(partitions[topic])]
    begins = client.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST))
    ends = client.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))

    def of(found: Mapping[Any, Any], topic: str) -> dict[int, int]:
        return {place.partition: one.offset for place, one in found.items() if place.topic == topic and one.offset >= 0}

    return {
        group: Look(
            topic,
            described[group]["group_state"],
            tuple(_partitions(member, topic) for member in described[group]["members"]),
            of(committed.get(group, {}), topic),
            of(begins, topic),
            of(ends, topic),
            _error(described[group]["error"]),
        )
        for group, topic in topics.items()
    }


def _described(client: Any, group: str) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = client.describe_groups([group])[group]
    except GroupAuthorizationFailedError as error:
        return {"group_state": "", "members": [], "error": str(error)}
    return found


def _partitions(member: Mapping[str, Any], topic: str) -> frozenset[int]:
    assignment = member["member_assignment"]
    assigned = assignment.get("assigned_partitions", ()) if isinstance(assignment, Mapping) else ()
    return frozenset(number for one in assigned if one["topic"] == topic for number in one["partitions"])


def _error(told: str | None) -> str:
    """Returns an error of Kafka. A group that does not exist (69) has read nothing yet."""
    return "" if told is None or "[Error 69]" in told else told
