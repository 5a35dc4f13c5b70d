"""The checks of Kafka: its brokers, and the topics with their settings, replicas, rights and codecs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cli.doctor.finding import ANSWER_S, SKEW_S, Finding, clock
from cli.doctor.mends import mend
from core.errors import UserError
from sinks.connect.kafka import Brokers, KafkaServer, client_options
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.topics import Topic

CODECS = ("gzip", "snappy", "lz4", "zstd")
INSTALL = "run `make install`, which installs the libraries of all codecs"
REFUSED = {29, 30, 31}
"""Error codes of Kafka when an ACL forbids a request on a topic, a group or the cluster."""

READ, WRITTEN = {"READ"}, {"WRITE"}


def check(brokers: Brokers, config: Settings) -> Iterator[Finding]:
    """Checks the brokers, the topics and the consumer groups."""
    from kafka.errors import KafkaError

    from cli.doctor.groups import groups
    from sinks.answers.kafka import answer
    from sinks.connect.probe import look
    from streams import topics

    limit = int(1000 * ANSWER_S)
    yield from login(brokers, config)
    if fault := look(brokers):
        yield Finding("kafka", "broken", answer(fault, f"Kafka at {brokers}").sentence, refused(fault, brokers))
        return
    client = topics.admin(brokers, bootstrap_timeout_ms=limit, request_timeout_ms=limit)
    try:
        cluster = client.describe_cluster()["brokers"]
        version = client.get_broker_version_data(cluster[0]["broker_id"]).broker_version
        detail = f"{'.'.join(map(str, version))} at {brokers}, {len(cluster)} broker{'s' if len(cluster) > 1 else ''}"
        yield Finding("kafka", "ok", detail)
        planned = topics.plan(config)
        described = {topic["name"]: topic for topic in client.describe_topics([topic.name for topic in planned])}
        yield from refused_topics(described)
        yield from _topics(planned, described, config.name(topics.THRESHOLDS))
        usable = [topic for topic in planned if not described[topic.name]["error_code"]]
        found = {topic.name: described[topic.name] for topic in usable}
        yield from _rights(config, found)
        yield from replicas(found, _least_replicas(client, usable))
        yield from _topic_settings(client, usable)
        yield from _codecs(client, brokers, usable)
        yield from _clock(client, brokers, usable, found)
        yield from groups(client, config, {name: len(topic["partitions"]) for name, topic in found.items()})
    except KafkaError as error:
        yield _failure(error, brokers)
    finally:
        client.close()


def login(brokers: Brokers, config: Settings) -> list[Finding]:
    """Tells of a password that anybody on the way can read, and of a token that begins in the future."""
    found = []
    if config.kafka_sasl in {"PLAIN", "OAUTHBEARER"} and not config.kafka_tls:
        detail = f"{config.kafka_sasl} without TLS sends the password or token in the clear"
        found.append(Finding("kafka login", "warning", detail, "set MNER_KAFKA_TLS=true and the port that speaks TLS"))
    tokens = brokers.tokens if isinstance(brokers, KafkaServer) else None
    now = time.time()
    if tokens and (begins := tokens.token().begins) and begins > now + SKEW_S:
        detail = f"the token for Kafka begins {begins - now:.0f} s in the future, by the clock of this machine"
        found.append(Finding("clock", "warning", detail, "set the clock of this machine by NTP"))
    return found


def refused(error: Exception, brokers: Brokers) -> str:
    """Returns what to do when the brokers do not let us in."""
    from sinks.answers.kafka import kind_of

    kind = kind_of(error)
    ways = {
        "plain": "set MNER_KAFKA_TLS=false, or name the port that speaks TLS in MNER_KAFKA",
        "encrypted": "set MNER_KAFKA_TLS=true, or name the port without TLS in MNER_KAFKA",
        "login": "set MNER_KAFKA_SASL to a mechanism that it offers, with MNER_KAFKA_USER and MNER_KAFKA_PASSWORD",
        "mechanism": "set MNER_KAFKA_SASL to a mechanism that it offers",
        "no login": "remove MNER_KAFKA_SASL, or name the port with a login in MNER_KAFKA",
    }
    if kind in ways:
        return ways[kind]
    if isinstance(brokers, KafkaServer) and brokers.tokens:
        refusal = "ask the identity provider for a token for this Kafka; are the clocks of both right?"
    else:
        refusal = "correct MNER_KAFKA_USER and MNER_KAFKA_PASSWORD; does the user exist for this MNER_KAFKA_SASL?"
    return mend(kind, "MNER_KAFKA") or refusal


def _failure(error: Exception, brokers: Brokers) -> Finding:
    from sinks.answers.kafka import answer

    if getattr(error, "errno", None) in REFUSED:
        remedy = "let this user Describe the cluster, the topics and the groups of this deployment, with `kafka-acls`"
    else:
        remedy = "see the broker's log"
    return Finding("kafka", "broken", answer(error, f"Kafka at {brokers}").sentence, remedy)


def refused_topics(described: Mapping[str, Any]) -> list[Finding]:
    """Tells of topics that an ACL hides (`described`: topic -> what Kafka describes)."""
    hidden = sorted(name for name, topic in described.items() if topic["error_code"] in REFUSED)
    if not hidden:
        return []
    detail = f"Kafka does not let our user see {', '.join(hidden)}: no ACL allows Describe"
    return [Finding("rights", "broken", detail, "allow it with `kafka-acls --add --operation Describe --topic ...`")]


def _topics(planned: Sequence[Topic], described: Mapping[str, Any], single: str) -> list[Finding]:
    """Compares the planned topics with the existing ones. `single`: the topic that must have one partition."""
    findings = []
    existing = [topic for topic in planned if not described[topic.name]["error_code"]]
    actual = {topic.name: len(described[topic.name]["partitions"]) for topic in existing}
    missing = [name for name, topic in described.items() if topic["error_code"] not in {0, *REFUSED}]
    if missing:
        findings.append(Finding("topics", "broken", f"missing: {', '.join(missing)}", "`mner topics create`"))
    if (number := actual.pop(single, 1)) != 1:
        detail = f"{single} has {number} partitions, and must have one, which gives the answers one order"
        remedy = "stop the workers, delete it, and run `mner topics create`; the thresholds then start anew"
        findings.append(Finding("topics", "broken", detail, remedy))
    wanted = planned[0].partitions
    if different := [f"{name} has {number}" for name, number in actual.items() if number != wanted]:
        detail = f"MNER_PARTITIONS is {wanted}, but {', '.join(different)}"
        if len(set(actual.values())) > 1:
            remedy = "give all topics the same number; else decisions and erasures of a post may be out of order"
        else:
            remedy = "set MNER_PARTITIONS to the existing number; mner never changes that of an existing topic"
        findings.append(Finding("topics", "warning", detail, remedy))
    if not findings and existing:
        listed = ", ".join(f"{topic.name} ({topic.partitions})" for topic in existing)
        findings.append(Finding("topics", "ok", f"as planned: {listed}"))
    return findings


def _rights(config: Settings, described: Mapping[str, Any]) -> list[Finding]:
    """Compares what Kafka allows our user with what a worker does. Brokers before 2.3 do not tell."""
    from streams import topics

    needed = {
        topics.TWEETS: READ,
        topics.EXTRACTIONS: READ | WRITTEN,
        topics.DECISIONS: READ | WRITTEN,
        topics.TOMBSTONES: READ,
        topics.DEAD: WRITTEN,
        topics.THRESHOLDS: READ | WRITTEN,
    }
    lacking = []
    for name, wanted in needed.items():
        topic = described.get(config.name(name), {})
        allowed = topic.get("authorized_operations")
        if allowed is None or not topic:
            continue
        if missing := sorted(wanted - set(map(str, allowed))):
            lacking.append(f"{' and '.join(one.title() for one in missing)} on {topic['name']}")
    if not lacking:
        return []
    detail = f"Kafka does not give our user {', '.join(lacking)}"
    return [Finding("rights", "broken", detail, "allow it with `kafka-acls --add --operation ... --topic ...`")]


def _least_replicas(client: Any, planned: Sequence[Topic]) -> dict[str, int]:
    return {name: int(value) for name, value in _values(client, planned, "min.insync.replicas").items()}


def _values(client: Any, planned: Sequence[Topic], setting: str) -> dict[str, str]:
    """Returns the value of one setting in each topic."""
    from kafka.admin import ConfigResource

    if not planned:
        return {}
    resources = [ConfigResource("TOPIC", topic.name, [setting]) for topic in planned]
    found = client.describe_configs(resources, config_filter="all")["topic"]
    return {name: str(values[setting]["value"]) for name, values in found.items() if setting in values}


def replicas(described: Mapping[str, Any], least: Mapping[str, int]) -> list[Finding]:
    """Checks that every partition has a leader and enough in-sync replicas (`least`: topic -> smallest number)."""
    leaderless, refusing, short, unreachable = [], [], [], []
    for name, topic in described.items():
        wanted = least.get(name, 1)
        if any(len(one["replica_nodes"]) < wanted for one in topic["partitions"]):
            unreachable.append(f"{name} has min.insync.replicas={wanted}, but fewer replicas")
            continue
        for one in topic["partitions"]:
            place, in_step = f"{name}/{one['partition_index']}", len(one["isr_nodes"])
            if one["leader_id"] < 0 or one["error_code"] == 5:
                leaderless.append(place)
            elif in_step < wanted:
                refusing.append(f"{place} ({in_step} of {wanted})")
            elif in_step < len(one["replica_nodes"]):
                short.append(f"{place} ({in_step} of {len(one['replica_nodes'])})")
    findings = []
    brokers = "start the brokers that are away; see their logs"
    if leaderless:
        findings.append(Finding("replicas", "broken", f"no leader: {', '.join(leaderless)}", brokers))
    if unreachable:
        remedy = "lower min.insync.replicas with `kafka-configs`, or add replicas; until then Kafka takes no records"
        findings.append(Finding("replicas", "broken", "; ".join(unreachable), remedy))
    if refusing:
        detail = f"Kafka takes no records, since too few replicas are in sync: {', '.join(refusing)}"
        findings.append(Finding("replicas", "broken", detail, brokers))
    if short:
        findings.append(Finding("replicas", "warning", f"replicas are not in sync: {', '.join(short)}", brokers))
    return findings


def _topic_settings(client: Any, planned: Sequence[Topic]) -> list[Finding]:
    from streams import topics

    try:
        found = topics.differences(client, planned)
    except UserError as error:
        remedy = "allow it with `kafka-acls --add --operation DescribeConfigs --topic ...`"
        return [Finding("topic settings", "warning", str(error), remedy)]
    if not found:
        return []
    listed = ", ".join(f"{one.topic} has {one.setting}={one.actual}, planned is {one.planned}" for one in found)
    remedy = "`mner topics create` changes them"
    if any(one.tightens for one in found):
        remedy += "; with --tighten also those that make Kafka delete or refuse more records"
    return [Finding("topic settings", "warning", listed, remedy)]


def _codecs(client: Any, brokers: Brokers, planned: Sequence[Topic]) -> list[Finding]:
    """Checks that the clients of this environment can decompress what the topics hold."""
    from aiokafka import codec as of_workers
    from kafka import codec as of_commands

    lacking = [
        name for name in CODECS if not all(getattr(library, f"has_{name}")() for library in (of_workers, of_commands))
    ]
    if not lacking:
        return []
    findings = []
    for name, codec in _values(client, planned, "compression.type").items():
        if codec in lacking:
            detail = f"{name} has compression.type={codec}, but this environment lacks its library"
            findings.append(Finding("codecs", "broken", detail, INSTALL))
    for topic in planned:
        if unread := _unreadable(brokers, topic.name):
            findings.append(
                Finding("codecs", "broken", f"{topic.name} holds records that we cannot read: {unread}", INSTALL)
            )
    if not findings:
        detail = f"this environment lacks the libraries of {', '.join(lacking)}; records so compressed stop a worker"
        findings.append(Finding("codecs", "warning", detail, INSTALL))
    return findings


def _unreadable(brokers: Brokers, topic: str) -> str:
    """Reads the last record of each partition. Returns why one cannot be decompressed, or nothing."""
    from kafka import KafkaConsumer, TopicPartition
    from kafka.errors import UnsupportedCodecError

    from sinks.no_creation import creates_none

    consumer = KafkaConsumer(**client_options(brokers), enable_auto_commit=False)
    try:
        creates_none(consumer)
        places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        ends = {place: end for place, end in consumer.end_offsets(places).items() if end}
        for place, end in ends.items():
            consumer.assign([place])
            consumer.seek(place, end - 1)
            consumer.poll(timeout_ms=500)
    except UnsupportedCodecError as error:
        return str(error)
    finally:
        consumer.close()
    return ""


def _clock(client: Any, brokers: Brokers, planned: Sequence[Topic], described: Mapping[str, Any]) -> list[Finding]:
    """Compares the newest time at which a broker appended a record with this machine's clock.

    Kafka does not tell its time. So a broker's clock that is behind stays unnoticed.
    """
    from kafka import TopicPartition
    from kafka.admin import OffsetSpec
    from kafka.errors import UnsupportedVersionError

    kinds = _values(client, planned, "message.timestamp.type")
    places = [
        TopicPartition(topic.name, one["partition_index"])
        for topic in planned
        if kinds.get(topic.name) == "LogAppendTime"
        for one in described[topic.name]["partitions"]
    ]
    if not places:
        return []
    try:
        found = client.list_partition_offsets(dict.fromkeys(places, OffsetSpec.MAX_TIMESTAMP))
    except UnsupportedVersionError:  # a broker before 3.0
        return []
    now = time.time()
    newest = max(one.timestamp / 1000 for one in found.values())
    return clock(f"Kafka at {brokers}", newest, now, now) if newest > now + SKEW_S else []
