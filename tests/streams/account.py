"""Finds where every post of a test is, from the sinks and the dead letters themselves."""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from typing import Any

from elasticsearch import AsyncElasticsearch
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, OffsetSpec
from kafka.errors import KafkaError, NoError
from kafka.structs import OffsetAndMetadata

from core.errors import Retry
from core.events import DeadLetter, Mention, Tweet
from local.server import free_ports
from sinks.dead_letters import read
from sinks.index.index import Index
from sinks.queue.queue import ReviewQueue
from streams import topics
from streams.agents.names import AgentName
from streams.agents.reads import READS
from streams.feed import feed
from streams.routing import is_drawn
from streams.settings import Settings
from streams.worker_process import WorkerProcess
from tests.streams import stub_model


@dataclass(frozen=True)
class Books:
    """`documents`: post id -> everything that Elasticsearch stores about it. `tasks`: post ids in the queue."""

    documents: dict[str, Any]
    tasks: Counter[str]
    dead: list[DeadLetter]

    @property
    def accounted(self) -> int:
        return len(self.documents) + len(self.dead)


@asynccontextmanager
async def sinks(settings: Settings) -> AsyncIterator[tuple[Index, ReviewQueue]]:
    assert settings.elasticsearch is not None
    assert settings.redis is not None
    index = Index(settings.elasticsearch, settings.name("mentions"))
    queue = ReviewQueue(settings.redis, settings.name("review:"))
    try:
        yield index, queue
    finally:
        await index.close()
        await queue.close()


async def books(settings: Settings) -> Books:
    """Reads both sinks and the dead letters completely."""
    assert settings.elasticsearch is not None
    async with sinks(settings) as (index, queue), AsyncElasticsearch(settings.elasticsearch) as client:
        await index.refresh()
        documents: dict[str, Any] = {}
        after: list[Any] = []
        while True:
            page = await _page(client, index.name, after)
            for hit in page:
                assert hit["_id"] not in documents, "a tweet has two documents"
                documents[hit["_id"]] = {key: hit[key] for key in ("_source", "_version", "_seq_no", "_primary_term")}
            if not page:
                break
            after = page[-1]["sort"]
        tasks = Counter(entry.task.tweet.id for entry in await queue.list(limit=100_000))
    assert settings.kafka is not None
    letters = await asyncio.to_thread(read, settings.kafka, settings.name(topics.DEAD))
    return Books(documents, tasks, [letter.letter for letter in letters])


async def _page(client: AsyncElasticsearch, index: str, after: list[Any]) -> list[Any]:
    body: dict[str, Any] = {
        "size": 5000,
        "query": {"match_all": {}},
        "sort": [{"_doc": "asc"}],
        "version": True,
        "seq_no_primary_term": True,
    }
    if after:
        body["search_after"] = after
    answer = await client.search(index=index, body=body)
    return list(answer["hits"]["hits"])


def tweets(numbers: Iterable[int]) -> list[bytes]:
    """Returns events that the stub model can answer."""
    return [json.dumps({"id": f"t{number}", "text": stub_model.text(number)}).encode() for number in numbers]


def fed(settings: Settings, events: list[bytes]) -> int:
    assert settings.kafka is not None
    return feed(events, settings.kafka, settings.name(topics.TWEETS))


async def counted(settings: Settings) -> int:
    """Returns the number of documents in the index, or 0 while it does not answer."""
    async with sinks(settings) as (index, _):
        try:
            await index.refresh()
            return await index.count()
        except Retry:
            return 0


async def until(settings: Settings, enough: Callable[[int], bool], timeout_s: float = 120.0) -> None:
    """Waits until the number of documents satisfies `enough`."""
    deadline = time.monotonic() + timeout_s
    while not enough(count := await counted(settings)):
        assert time.monotonic() < deadline, f"{count} documents after {timeout_s:.0f} s"
        await asyncio.sleep(0.1)


async def until_caught_up(settings: Settings, *agents: str, timeout_s: float = 120.0) -> None:
    """Waits until the agents (by default extract and deliver) have committed everything in their topics."""
    deadline = time.monotonic() + timeout_s
    while behind := await asyncio.to_thread(lag, settings, agents or ("extract", "deliver")):
        assert time.monotonic() < deadline, f"{behind} events not acknowledged after {timeout_s:.0f} s"
        await asyncio.sleep(0.2)


def lag(settings: Settings, agents: Iterable[str]) -> int:
    """Returns the number of events that the agents' groups have not acknowledged, or -1 when the broker cannot tell."""
    assert settings.kafka is not None
    client = topics.admin(settings.kafka)
    try:
        return sum(_lag(client, settings, agent) for agent in agents)
    except KafkaError:  # the broker has just come back and does not know its groups yet
        return -1
    finally:
        client.close()


def _lag(client: KafkaAdminClient, settings: Settings, agent: str) -> int:
    group = settings.name(AgentName(agent).group)
    partitions = _partitions(settings, agent)
    ends = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
    done = client.list_group_offsets(group)[group]
    return sum(
        ends[partition].offset - (done[partition].offset if partition in done else 0) for partition in partitions
    )


def _partitions(settings: Settings, agent: str) -> list[TopicPartition]:
    topic = READS[AgentName(agent)]
    return [TopicPartition(settings.name(topic), partition) for partition in range(settings.partitions)]


async def replayed(settings: Settings, start: Callable[..., WorkerProcess], *agents: str) -> WorkerProcess:
    """Sets the agents' groups back, starts a worker and waits until it has caught up.

    Proves that the groups had committed something, and that the worker has read all of it again.
    """
    counts = await asyncio.to_thread(rewind, settings, *agents)
    assert any(counts.values()), "nothing was committed, so nothing is replayed"
    assert settings.kafka is not None
    (port,) = free_ports(1)
    worker = start(settings.changed(metrics=f"127.0.0.1:{port}"))
    await until_caught_up(settings, *agents)
    for agent, count in counts.items():
        again = await asyncio.to_thread(acknowledged, port, agent)
        assert again >= count, f"{agent} has read {again} events again, of {count}"
    return worker


def acknowledged(port: int, agent: str) -> int:
    """Returns how many events a worker's agent has acknowledged since the worker started, from its metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        metrics = answer.read().decode()
    found = re.search(rf'^mner_acknowledged_total{{agent="{agent}"}} (\S+)$', metrics, re.MULTILINE)
    return int(float(found[1])) if found else 0


def rewind(settings: Settings, *agents: str, timeout_s: float = 60.0) -> dict[str, int]:
    """Sets the agents' groups back to the beginning of their topics. The agents must be stopped.

    The broker refuses, partition by partition, while it counts a worker in the group. Then this waits.
    Returns how many events each group had acknowledged.
    """
    assert settings.kafka is not None
    deadline = time.monotonic() + timeout_s
    client = topics.admin(settings.kafka)
    counts = {}
    try:
        for agent in agents:
            group = settings.name(AgentName(agent).group)
            offsets = dict.fromkeys(_partitions(settings, agent), OffsetAndMetadata(0, "", -1))
            before = client.list_group_offsets(group)[group]
            counts[agent] = sum(held.offset for place, held in before.items() if place in offsets)
            while refused := _refused(client.alter_group_offsets(group, offsets)):
                assert time.monotonic() < deadline, f"the broker refuses to rewind {agent}: {refused}"
                time.sleep(0.2)
            held = client.list_group_offsets(group)[group]
            assert {place: held[place].offset for place in offsets} == dict.fromkeys(offsets, 0)
    finally:
        client.close()
    return counts


def _refused(answers: dict[TopicPartition, type[KafkaError]]) -> dict[TopicPartition, str]:
    return {place: answer.__name__ for place, answer in answers.items() if answer is not NoError}


def members(settings: Settings, agent: str) -> int:
    """Returns the number of workers that hold a partition of this agent's topic."""
    assert settings.kafka is not None
    client = topics.admin(settings.kafka)
    try:
        group = settings.name(AgentName(agent).group)
        described = client.describe_groups([group])[group]
        return sum(bool(member["member_assignment"]["assigned_partitions"]) for member in described["members"])
    finally:
        client.close()


def assert_exactly_once(found: Books, numbers: Iterable[int]) -> None:
    """Asserts that every post has one document, and that nothing else exists.

    Every uncertain post has one task, and so has one that is drawn for a spot check.
    """
    numbers = list(numbers)
    wanted = {f"t{number}" for number in numbers}
    missing, strange = wanted - set(found.documents), set(found.documents) - wanted
    assert not missing, f"{len(missing)} tweets lost: {sorted(missing)[:5]}"
    assert not strange, f"documents nobody asked for: {sorted(strange)[:5]}"
    assert found.tasks == Counter(
        f"t{number}" for number in numbers if stub_model.uncertain(number) or is_audited(number)
    )
    assert found.dead == []


def is_audited(number: int) -> bool:
    """Whether the mention of that post is drawn for a spot check, with the default share."""
    text = stub_model.text(number)
    word = text.split()[0]
    mention = Mention(start=0, end=len(word), text=word, type="PER", probability=1, aleatoric=0, epistemic=0)
    share: float = Settings.model_fields["spot_check_share"].default
    return is_drawn(Tweet(id=f"t{number}", text=text), mention, share)


def held(brokers: str, topic: str) -> list[bytes]:
    """Returns all values in the topic, sorted."""
    with closing(KafkaConsumer(bootstrap_servers=brokers, group_id=None)) as consumer:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends, found = consumer.end_offsets(partitions), []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            found += [record.value for records in consumer.poll(1000).values() for record in records]
    return sorted(found)
