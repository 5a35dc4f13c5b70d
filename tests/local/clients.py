"""A minimal client for each server: writes values and reads them back."""

from __future__ import annotations

import contextlib
from typing import Protocol

from elasticsearch import Elasticsearch
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import TopicAlreadyExistsError
from redis import Redis


class Client(Protocol):
    """Writes values to a server and reads all of them back, in order."""

    def put(self, address: str, value: str) -> None: ...

    def all(self, address: str) -> list[str]: ...


class KafkaClient:
    """One topic; a value is a message."""

    topic = "contract"

    def put(self, address: str, value: str) -> None:
        admin = KafkaAdminClient(bootstrap_servers=address)
        with contextlib.closing(admin), contextlib.suppress(TopicAlreadyExistsError):
            admin.create_topics([NewTopic(self.topic, 1, 1)])
        with contextlib.closing(KafkaProducer(bootstrap_servers=address, acks="all")) as producer:
            producer.send(self.topic, value.encode()).get(timeout=30)

    def all(self, address: str) -> list[str]:
        with contextlib.closing(KafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest")) as consumer:
            partition = TopicPartition(self.topic, 0)
            consumer.assign([partition])
            end = consumer.end_offsets([partition])[partition]
            values: list[str] = []
            while len(values) < end:
                for messages in consumer.poll(timeout_ms=1000).values():
                    values += [message.value.decode() for message in messages]
            return values


class ElasticsearchClient:
    """One index; a value is a document."""

    def put(self, address: str, value: str) -> None:
        with contextlib.closing(Elasticsearch(address)) as client:
            count = len(self.all(address)) if client.indices.exists(index="contract") else 0
            client.index(index="contract", document={"value": value, "number": count}, refresh=True)

    def all(self, address: str) -> list[str]:
        with contextlib.closing(Elasticsearch(address)) as client:
            results = client.search(index="contract", query={"match_all": {}}, sort="number", size=100)
            return [hit["_source"]["value"] for hit in results["hits"]["hits"]]


class RedisClient:
    """One list; a value is an element."""

    def put(self, address: str, value: str) -> None:
        with Redis.from_url(address) as client:
            client.rpush("contract", value)

    def all(self, address: str) -> list[str]:
        with Redis.from_url(address, decode_responses=True) as client:
            values = client.lrange("contract", 0, -1)
            assert isinstance(values, list)
            return [str(value) for value in values]


CLIENTS: dict[str, Client] = {
    "kafka": KafkaClient(),
    "elasticsearch": ElasticsearchClient(),
    "redis": RedisClient(),
}
