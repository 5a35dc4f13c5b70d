"""The doctor's look at Kafka, Elasticsearch and Redis: there, of use, and prepared as a worker wants them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from streams.addresses import masked
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.topics import Topic

ANSWER_S = 4.0
"""Seconds that Elasticsearch and Redis get for an answer; Kafka gets the ten of `topics.admin`."""

Level = Literal["ok", "warning", "broken"]


@dataclass(frozen=True)
class Finding:
    """`said`: what was seen. `mend`: what to do about it, empty when all is well."""

    name: str
    level: Level
    said: str
    mend: str = ""


def server(name: str, config: Settings) -> list[Finding]:
    """Raises `UserError` when it has no address; the other servers are looked at all the same."""
    from streams.servers import address

    return SERVERS[name](address(config, name), config)


def kafka(brokers: str, config: Settings) -> list[Finding]:
    from kafka.errors import KafkaError

    from streams import topics

    client = topics.admin(brokers)
    try:
        cluster = client.describe_cluster()["brokers"]
        version = client.get_broker_version_data(cluster[0]["broker_id"]).broker_version
        said = f"{'.'.join(map(str, version))} at {brokers}, {len(cluster)} broker{'s' if len(cluster) > 1 else ''}"
        planned = topics.plan(config)
        there = {
            topic["name"]: len(topic["partitions"])
            for topic in client.describe_topics([topic.name for topic in planned])
            if not topic["error_code"]
        }
        found = [Finding("kafka", "ok", said), _topics(planned, there)]
        return found if found[-1].level == "broken" else [*found, *_groups(client, config, there)]
    except KafkaError as error:
        return [Finding("kafka", "broken", f"{brokers} answers: {error!r}", "see the broker's log")]
    finally:
        client.close()


def _topics(planned: Sequence[Topic], there: Mapping[str, int]) -> Finding:
    if absent := [topic.name for topic in planned if topic.name not in there]:
        return Finding("topics", "broken", f"missing: {', '.join(absent)}", "`mner topics create`")
    other = [f"{topic.name} has {there[topic.name]}" for topic in planned if there[topic.name] != topic.partitions]
    if other:
        wanted = planned[0].partitions
        mend = "set MNER_PARTITIONS to what is there; a topic that exists is never changed"
        return Finding("topics", "warning", f"MNER_PARTITIONS is {wanted}, but {', '.join(other)}", mend)
    said = ", ".join(f"{topic.name} ({topic.partitions})" for topic in planned)
    return Finding("topics", "ok", f"as planned: {said}")


def _groups(client: Any, config: Settings, there: Mapping[str, int]) -> list[Finding]:
    """How far each agent's consumer group is behind, and whether anybody reads for it."""
    from kafka import TopicPartition
    from kafka.admin import OffsetSpec

    from streams.worker import AGENTS

    groups = {config.name(agent.group): config.name(topic) for agent, (topic, _) in AGENTS.items()}
    known = {group["group_id"] for group in client.list_groups()} & set(groups)
    if not known:
        return [Finding("groups", "warning", "no worker has read anything yet", "start one: `mner worker`")]
    states = client.describe_groups(sorted(known))
    committed = client.list_group_offsets(sorted(known))
    found = []
    for group, topic in groups.items():
        partitions = [TopicPartition(topic, number) for number in range(there[topic])]
        begins = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
        ends = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        done = {partition: place.offset for partition, place in committed.get(group, {}).items()}
        lag = sum(ends[one].offset - max(done.get(one, 0), begins[one].offset) for one in partitions)
        members = len(states[group]["members"]) if group in known else 0
        readers = f"{members} worker{'' if members == 1 else 's'}"
        if members:
            found.append(Finding(group, "ok", f"lag {lag} on {topic}, {readers}"))
        else:
            found.append(Finding(group, "warning", f"lag {lag} on {topic}, nobody reads", "start one: `mner worker`"))
    return found


def elasticsearch(url: str, config: Settings) -> list[Finding]:
    from elastic_transport import TransportError
    from elasticsearch import ApiError, Elasticsearch

    where = masked(url)
    try:
        with Elasticsearch(url, max_retries=0, retry_on_timeout=False, request_timeout=ANSWER_S) as client:
            nodes = client.nodes.info(filter_path="nodes.*.version")["nodes"]  # `GET /` is not in the local core
            versions = sorted({node["version"] for node in nodes.values()})
            health = client.cluster.health(filter_path="status")["status"]
            said = f"{', '.join(versions)} at {where}, {len(nodes)} node{'s' if len(nodes) > 1 else ''}, {health}"
            level: Level = "broken" if health == "red" else "ok"
            mend = "see its log: part of the data cannot be reached" if level == "broken" else ""
            return [Finding("elasticsearch", level, said, mend), _index(client, config.name("mentions"))]
    except ApiError as error:
        if error.status_code in {401, 403}:
            mend = "put user and password into MNER_ELASTICSEARCH, http://user:password@host:9200"
            return [Finding("elasticsearch", "broken", f"{where} refuses our credentials", mend)]
        return [Finding("elasticsearch", "broken", f"{where} answers {error}", "is it an Elasticsearch 9?")]
    except (TransportError, ValueError) as error:
        said = f"no answer from {where}: {getattr(error, 'message', error)}"
        return [Finding("elasticsearch", "broken", said, "is it up, is MNER_ELASTICSEARCH right?")]


def _index(client: Any, name: str) -> Finding:
    from sinks.mapping import PROPERTIES

    makes = "a worker makes it at its start: `mner worker`"
    if not client.indices.exists_alias(name=name):
        return Finding("index", "warning", f"{name} is not there yet", makes)
    if not client.indices.exists_index_template(name=name):
        return Finding("index", "warning", f"the template {name} is missing", makes)
    for index, held in client.indices.get_mapping(index=name).items():
        if wrong := _unmapped(PROPERTIES, held["mappings"].get("properties", {})):
            said = f"{index} is mapped otherwise than this version writes: {', '.join(wrong)}"
            return Finding("index", "broken", said, "make a new index: docs/index.md")
    return Finding(
        "index", "ok", f"{name}: template, alias and mapping as planned, {client.count(index=name)['count']} documents"
    )


def _unmapped(wanted: Mapping[str, Any], held: Mapping[str, Any], path: str = "") -> list[str]:
    """Fields that are missing or of another type, nested ones too."""
    wrong = []
    for name, field in wanted.items():
        there = held.get(name)
        if there is None or there.get("type", "object") != field.get("type", "object"):
            wrong.append(path + name)
        else:
            wrong += _unmapped(field.get("properties", {}), there.get("properties", {}), f"{path}{name}.")
    return wrong


def redis(url: str, _: Settings) -> list[Finding]:
    from redis import Redis, RedisError
    from redis.backoff import NoBackoff
    from redis.exceptions import ResponseError
    from redis.retry import Retry as ClientRetry

    from sinks.queue import REFUSED

    where = masked(url)
    try:
        with Redis.from_url(
            url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S, retry=ClientRetry(NoBackoff(), 0)
        ) as client:
            info: Any = client.info()
    except (*REFUSED, ResponseError) as error:
        mend = "put the password into MNER_REDIS, redis://:password@host:6379"
        return [Finding("redis", "broken", f"{where} refuses us: {error}", mend)]
    except (RedisError, ValueError) as error:
        return [Finding("redis", "broken", f"no use of {where}: {error}", "is it up, is MNER_REDIS right?")]
    said = f"{info['redis_version']} at {where}"
    if info.get("maxmemory") and info["maxmemory_policy"] != "noeviction":
        mend = "CONFIG SET maxmemory-policy noeviction, and in redis.conf"
        return [Finding("redis", "broken", f"{said} throws tasks away when full ({info['maxmemory_policy']})", mend)]
    if not info["aof_enabled"]:
        mend = "set `appendonly yes`; a lost queue can be made again from the topics, while they last"
        return [Finding("redis", "warning", f"{said} writes no append-only file: a crash loses tasks", mend)]
    return [Finding("redis", "ok", f"{said}, append-only file on, evicts nothing")]


SERVERS: dict[str, Callable[[str, Settings], list[Finding]]] = {
    "kafka": kafka,
    "elasticsearch": elasticsearch,
    "redis": redis,
}
