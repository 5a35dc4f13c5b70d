"""Faults of Redis, Elasticsearch and the machine, planted on real servers. Each is a context manager."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from redis import Redis

from cli.doctor import elasticsearch as elasticsearch_check
from cli.doctor import kafka as kafka_check
from cli.doctor import redis as redis_check
from sinks.index.document import from_decision
from sinks.index.index import Index
from sinks.queue.queue import ReviewQueue
from streams.settings import Settings
from tests.families.doctor.plants_kafka import fresh_record
from tests.sinks.values import decision, mention, task

BALLAST = 20_000_000
"""Bytes in Redis, beside which the buffers of its clients are small."""


def redis_of(deployment: Settings) -> Any:
    return Redis.from_url(str(deployment.redis))


def index_of(deployment: Settings) -> Any:
    return Elasticsearch(str(deployment.elasticsearch))


def variable(name: str, value: str) -> Any:
    """Another value of a setting. `{redis}` and `{port}` stand for the server without database, and another's port."""

    @contextmanager
    def plant(deployment: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        server = str(deployment.redis).removesuffix("/0")
        port = str(deployment.elasticsearch).rpartition(":")[2]
        monkeypatch.setenv(name, value.format(redis=server, port=port))
        yield

    return plant


def configured(**values: str) -> Any:
    """Another configuration of Redis."""

    @contextmanager
    def plant(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
        with redis_of(deployment) as client:
            names = {name.replace("_", "-"): value for name, value in values.items()}
            before = {name: next(iter(client.config_get(name).values())) for name in names}
            client.setrange(deployment.name("ballast"), BALLAST, "x")  # else a client's buffer would tip the balance
            try:
                for name, value in names.items():
                    used = client.info("memory")["used_memory"]
                    client.config_set(name, value.format(nearly=int(used / 0.95), full=int(used / 1.1)))
                yield
            finally:
                client.config_set("maxmemory", 0)
                client.delete(deployment.name("ballast"))
                for name, value in before.items():
                    client.config_set(name, value)

    return plant


@contextmanager
def replica(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    with redis_of(deployment) as client:
        client.replicaof("127.0.0.1", "1")
        try:
            yield
        finally:
            client.replicaof("NO", "ONE")


@contextmanager
def user_without_rights(deployment: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with redis_of(deployment) as client:
        client.execute_command("ACL", "SETUSER", "weak", "on", ">secret", "~*", "+info", "+time", "+ping", "+select")
        monkeypatch.setenv("MNER_REDIS", str(deployment.redis).replace("redis://", "redis://weak:secret@"))
        try:
            yield
        finally:
            client.execute_command("ACL", "DELUSER", "weak")


@contextmanager
def unreadable_task(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    """A task that another version wrote, between two good ones."""
    fill(str(deployment.redis), deployment)
    with redis_of(deployment) as client:
        client.hset(deployment.name("review:tasks"), "2", '{"version": 9, "post": "2"}')
    yield


@contextmanager
def task_without_content(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    fill(str(deployment.redis), deployment)
    with redis_of(deployment) as client:
        client.hdel(deployment.name("review:tasks"), "3")
    yield


def fill(url: str, deployment: Settings) -> None:
    async def add() -> None:
        queue = ReviewQueue(url, deployment.name("review:"))
        await queue.add([task("1", 0.2), task("2", 0.9), task("3", 0.5)])
        await queue.close()

    asyncio.run(add())


@contextmanager
def other_database(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    elsewhere = str(deployment.redis).removesuffix("/0") + "/5"
    fill(elsewhere, deployment)
    yield
    with Redis.from_url(elsewhere) as client:
        client.flushdb()


@contextmanager
def lost_queue(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    """The index has a post that a person decided. The database of the queue is empty."""

    async def write() -> None:
        index = Index(str(deployment.elasticsearch), deployment.name("mentions"))
        human = mention("#Paris").model_copy(update={"source": "human"})
        await index.write([from_decision(decision(task("2"), 1, human))])
        await index.refresh()
        await index.close()

    asyncio.run(write())
    yield


@contextmanager
def keys_of_another_program(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    with redis_of(deployment) as client:
        client.set(deployment.name("review:open"), "hello")
    yield


def clock_off(seconds: float, checks: str) -> Any:
    """This machine's clock goes wrong. The servers are real, but the clock is a stand-in: all share one machine."""

    @contextmanager
    def plant(deployment: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with fresh_record(deployment, monkeypatch):
            shifted = SimpleNamespace(time=lambda: time.time() + seconds, monotonic=time.monotonic, sleep=time.sleep)
            module = {"kafka": kafka_check, "elasticsearch": elasticsearch_check, "redis": redis_check}[checks]
            monkeypatch.setattr(module, "time", shifted, raising=False)
            yield

    return plant


def cluster_setting(**values: Any) -> Any:
    """Other settings of the cluster, with `__` for a dot."""

    @contextmanager
    def plant(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
        names = {name.replace("__", "."): value for name, value in values.items()}
        with index_of(deployment) as client:
            client.cluster.put_settings(persistent=names)
            try:
                yield
            finally:
                client.cluster.put_settings(persistent=dict.fromkeys(names))

    return plant


def index_setting(**values: Any) -> Any:
    @contextmanager
    def plant(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
        names = {name.replace("__", "."): value for name, value in values.items()}
        index = deployment.name("mentions")
        with index_of(deployment) as client:
            client.indices.put_settings(index=index, settings=names)
            try:
                yield
            finally:
                client.indices.put_settings(index=index, settings=dict.fromkeys(names))

    return plant


@contextmanager
def closed_index(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    with index_of(deployment) as client:
        client.indices.close(index=deployment.name("mentions-1"))
        yield
        client.indices.open(index=deployment.name("mentions-1"))


@contextmanager
def another_mapping(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    name = deployment.name("mentions")
    with index_of(deployment) as client:
        client.indices.delete(index=f"{name}-1")
        mapping = {"properties": {"created_at": {"type": "keyword"}}}
        client.indices.delete_index_template(name=name)
        client.indices.create(index=f"{name}-1", aliases={name: {}}, mappings=mapping)
        client.indices.put_index_template(name=name, index_patterns=[f"{name}-*"])
    yield


@contextmanager
def missing_index(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    with index_of(deployment) as client:
        client.indices.delete(index=deployment.name("mentions-1"))
    yield


@contextmanager
def index_in_place_of_the_alias(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    name = deployment.name("mentions")
    with index_of(deployment) as client:
        client.indices.delete(index=f"{name}-1")
        client.indices.create(index=name)
    yield


@contextmanager
def two_indexes(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    name = deployment.name("mentions")
    with index_of(deployment) as client:
        client.indices.delete(index=f"{name}-1")
        for number in (1, 2):
            client.indices.create(index=f"{name}-{number}", aliases={name: {}})
    yield


def stranded(**settings: Any) -> Any:
    """An index of somebody else whose shards have no node."""

    @contextmanager
    def plant(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
        name = deployment.name("other")
        with index_of(deployment) as client:
            client.indices.create(index=name, settings=settings, wait_for_active_shards="0")
            yield
            client.indices.delete(index=name)

    return plant


@contextmanager
def unassigned_index(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    """Our index has no node that may hold it."""
    name = deployment.name("mentions")
    with index_of(deployment) as client:
        client.indices.delete(index=f"{name}-1")
        nowhere = {"routing.allocation.require._name": "nobody"}
        client.indices.create(index=f"{name}-1", aliases={name: {}}, settings=nowhere, wait_for_active_shards="0")
    yield


@contextmanager
def home_is_a_file(deployment: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    Path("file").touch()
    for name in ("KAFKA", "ELASTICSEARCH", "REDIS"):
        monkeypatch.delenv(f"MNER_{name}")
    monkeypatch.setenv("MNER_HOME", "file")
    yield


@contextmanager
def home_leads_through_a_file(deployment: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with home_is_a_file(deployment, monkeypatch):
        monkeypatch.setenv("MNER_HOME", "file/below/it")
        yield
