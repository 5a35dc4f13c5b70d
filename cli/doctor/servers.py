"""The checks of Kafka, Elasticsearch and Redis: reachable, usable, and prepared for a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from streams.addresses import masked
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.topics import Topic

ANSWER_S = 4.0
"""Longest time, in seconds, for an answer of Elasticsearch or Redis. `topics.admin` sets the limit for Kafka."""

Level = Literal["ok", "warning", "broken"]


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    #: name of the check
    name: str
    level: Level
    #: what the check saw
    detail: str
    #: how to fix it; empty when nothing is wrong
    remedy: str = ""


def server(name: str, config: Settings) -> list[Finding]:
    """Checks one server. Raises `UserError` when it has no address."""
    from streams.servers import address

    return SERVERS[name](address(config, name), config)


def kafka(brokers: str, config: Settings) -> list[Finding]:
    from kafka.errors import KafkaError

    from streams import topics

    client = topics.admin(brokers)
    try:
        cluster = client.describe_cluster()["brokers"]
        version = client.get_broker_version_data(cluster[0]["broker_id"]).broker_version
        detail = f"{'.'.join(map(str, version))} at {brokers}, {len(cluster)} broker{'s' if len(cluster) > 1 else ''}"
        planned = topics.plan(config)
        partitions = {
            topic["name"]: len(topic["partitions"])
            for topic in client.describe_topics([topic.name for topic in planned])
            if not topic["error_code"]
        }
        findings = [Finding("kafka", "ok", detail), _topics(planned, partitions)]
        if findings[-1].level == "broken":
            return findings
        return [*findings, *_topic_settings(client, planned), *_groups(client, config, partitions)]
    except KafkaError as error:
        return [Finding("kafka", "broken", f"{brokers} answers: {error!r}", "see the broker's log")]
    finally:
        client.close()


def _topics(planned: Sequence[Topic], partitions: Mapping[str, int]) -> Finding:
    """Compares the planned topics with the existing ones (`partitions`: topic -> number of partitions)."""
    if missing := [topic.name for topic in planned if topic.name not in partitions]:
        return Finding("topics", "broken", f"missing: {', '.join(missing)}", "`mner topics create`")
    actual = {topic.name: partitions[topic.name] for topic in planned}
    if different := [
        f"{topic.name} has {actual[topic.name]}" for topic in planned if actual[topic.name] != topic.partitions
    ]:
        detail = f"MNER_PARTITIONS is {planned[0].partitions}, but {', '.join(different)}"
        remedy = "set MNER_PARTITIONS to the existing number; it is never changed"
        return Finding("topics", "warning", detail, remedy)
    listed = ", ".join(f"{topic.name} ({topic.partitions})" for topic in planned)
    return Finding("topics", "ok", f"as planned: {listed}")


def _topic_settings(client: Any, planned: Sequence[Topic]) -> list[Finding]:
    from streams import topics

    found = topics.differences(client, planned)
    if not found:
        return []
    listed = ", ".join(f"{one.topic} has {one.setting}={one.actual}, planned is {one.planned}" for one in found)
    remedy = "`mner topics create` changes them"
    if any(one.tightens for one in found):
        remedy += "; with --tighten also those that make Kafka delete or refuse more records"
    return [Finding("topic settings", "warning", listed, remedy)]


def _groups(client: Any, config: Settings, partitions: Mapping[str, int]) -> list[Finding]:
    """Checks each agent's consumer group: its lag, and whether a worker is reading."""
    from kafka import TopicPartition
    from kafka.admin import OffsetSpec

    from streams.worker import AGENTS

    groups = {config.name(agent.group): config.name(topic) for agent, (topic, _) in AGENTS.items()}
    known = {group["group_id"] for group in client.list_groups()} & set(groups)
    if not known:
        return [Finding("groups", "warning", "no worker has read anything yet", "start one with `mner worker`")]
    states = client.describe_groups(sorted(known))
    committed = client.list_group_offsets(sorted(known))
    findings = []
    for group, topic in groups.items():
        places = [TopicPartition(topic, number) for number in range(partitions[topic])]
        begins = client.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST))
        ends = client.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
        done = {place: offset.offset for place, offset in committed.get(group, {}).items()}
        lag = sum(max(0, ends[place].offset - max(done.get(place, 0), begins[place].offset)) for place in places)
        members = len(states[group]["members"]) if group in known else 0
        readers = f"{members} worker{'' if members == 1 else 's'}"
        beyond = [
            f"partition {place.partition} at {done[place]} of {ends[place].offset}"
            for place in places
            if done.get(place, 0) > ends[place].offset
        ]
        if beyond:
            detail = f"committed beyond the end of {topic}: {', '.join(beyond)}"
            remedy = "Kafka lost records; a worker notices within a minute, and reads the rest again"
            findings.append(Finding(group, "broken", detail, remedy if members else f"{remedy}: `mner worker`"))
            continue
        if members:
            findings.append(Finding(group, "ok", f"lag {lag} on {topic}, {readers}"))
        else:
            detail = f"lag {lag} on {topic}, no worker reads it"
            findings.append(Finding(group, "warning", detail, "start one with `mner worker`"))
    return findings


def elasticsearch(url: str, config: Settings) -> list[Finding]:
    from elastic_transport import TransportError
    from elasticsearch import ApiError, Elasticsearch

    from sinks.answers.answer import Reaction
    from sinks.answers.elasticsearch import request_answer

    where = masked(url)
    try:
        with Elasticsearch(url, max_retries=0, retry_on_timeout=False, request_timeout=ANSWER_S) as client:
            nodes = client.nodes.info(filter_path="nodes.*.version")["nodes"]  # the local node does not serve `GET /`
            versions = sorted({node["version"] for node in nodes.values()})
            health = client.cluster.health(filter_path="status")["status"]
            detail = f"{', '.join(versions)} at {where}, {len(nodes)} node{'s' if len(nodes) > 1 else ''}, {health}"
            level: Level = "broken" if health == "red" else "ok"
            remedy = "part of the data is unreachable; see the log of Elasticsearch" if level == "broken" else ""
            return [Finding("elasticsearch", level, detail, remedy), _index(client, config.name("mentions"))]
    except ApiError as error:
        told = request_answer(error.status_code, error.body, where, config.name("mentions"), ours=True)
        if error.status_code == 401:
            remedy = "put the user and password into MNER_ELASTICSEARCH, as http://user:password@host:9200"
            return [Finding("elasticsearch", "broken", told.sentence, remedy)]
        remedy = "see the log of Elasticsearch" if told.reaction != Reaction.STOP else "is it an Elasticsearch 9?"
        return [Finding("elasticsearch", "broken", told.sentence, remedy)]
    except (TransportError, ValueError) as error:
        detail = f"no answer from {where}: {getattr(error, 'message', error)}"
        return [Finding("elasticsearch", "broken", detail, "is it running? is MNER_ELASTICSEARCH correct?")]


def _index(client: Any, name: str) -> Finding:
    from sinks.mapping import changed_fields, missing_fields

    remedy = "a worker creates it when it starts: `mner worker`"
    if not client.indices.exists_alias(name=name):
        return Finding("index", "warning", f"{name} does not exist yet", remedy)
    if not client.indices.exists_index_template(name=name):
        return Finding("index", "warning", f"the template {name} is missing", remedy)
    for index, state in client.indices.get_mapping(index=name).items():
        mapped = state["mappings"].get("properties", {})
        if changed := changed_fields(mapped):
            detail = f"in {index}, the mapping of these fields differs from this version's: {', '.join(changed)}"
            return Finding("index", "broken", detail, "create a new index, as docs/index.md says")
        if missing := missing_fields(mapped):
            detail = f"{index} comes from an earlier version and lacks fields: {', '.join(missing)}"
            return Finding("index", "warning", detail, "a worker adds them when it starts: `mner worker`")
    return Finding(
        "index", "ok", f"{name}: template, alias and mapping as planned, {client.count(index=name)['count']} documents"
    )


def redis(url: str, _: Settings) -> list[Finding]:
    from redis import Redis, RedisError
    from redis.backoff import NoBackoff
    from redis.retry import Retry as ClientRetry

    from sinks.answers.redis import answer, code_of

    where = masked(url)
    try:
        with Redis.from_url(
            url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S, retry=ClientRetry(NoBackoff(), 0)
        ) as client:
            info: Any = client.info()
    except RedisError as error:
        remedy = "is it running? is MNER_REDIS correct?"
        if code_of(error)[0] in {"NOAUTH", "WRONGPASS"}:
            remedy = "put the password into MNER_REDIS, as redis://:password@host:6379"
        return [Finding("redis", "broken", answer(error, where).sentence, remedy)]
    except ValueError as error:
        return [Finding("redis", "broken", f"{where} cannot be used: {error}", "is MNER_REDIS correct?")]
    server_at = f"{info['redis_version']} at {where}"
    if info.get("maxmemory") and info["maxmemory_policy"] != "noeviction":
        detail = f"{server_at} evicts tasks when its memory is full ({info['maxmemory_policy']})"
        return [Finding("redis", "broken", detail, "set maxmemory-policy to noeviction, also in redis.conf")]
    if not info["aof_enabled"]:
        remedy = "set `appendonly yes`; a lost queue can be rebuilt from the topics while they keep their records"
        return [Finding("redis", "warning", f"{server_at} writes no append-only file: a crash loses tasks", remedy)]
    return [Finding("redis", "ok", f"{server_at}, append-only file on, no eviction")]


SERVERS: dict[str, Callable[[str, Settings], list[Finding]]] = {
    "kafka": kafka,
    "elasticsearch": elasticsearch,
    "redis": redis,
}
