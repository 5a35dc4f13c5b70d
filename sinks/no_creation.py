"""Keeps the Kafka clients from creating topics.

A broker with `auto.create.topics.enable` creates each topic that a client asks for, unless the client says otherwise.
So a deleted topic would come back with the settings of the broker in place of the planned ones. aiokafka has no option
against it. kafka-python 3.0.12 has one, `allow_auto_create_topics`, and ignores it.
"""

from __future__ import annotations

from typing import Any

from aiokafka import client
from aiokafka.protocol.metadata import MetadataRequest
from kafka import KafkaConsumer


class Asking(MetadataRequest):  # type: ignore[misc]  # aiokafka tells no types
    """Asks what topics there are, and creates none. Brokers before 0.11 do not know the difference."""

    def __init__(self, topics: list[str] | None = None) -> None:
        super().__init__(topics, allow_auto_topic_creation=False)


def aiokafka_creates_none() -> None:
    """Changes all clients of aiokafka in this process."""
    client.MetadataRequest = Asking


def creates_none(asker: Any) -> None:
    """Changes a new producer or consumer of kafka-python, before it asks for a topic."""
    metadata = asker._cluster if isinstance(asker, KafkaConsumer) else asker._metadata
    metadata.config["allow_auto_create_topics"] = False
