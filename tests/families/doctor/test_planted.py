"""Each fault that `mner doctor` must find is planted, and the finding comes with its remedy.

The servers are real. Stand-ins are used in three places: a shifted clock, since the servers share that of this machine;
an HTTP server in place of a proxy that refuses; and what Kafka says about replicas of several brokers.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest

from cli.doctor.checks import examine
from streams import topics
from streams.settings import Settings
from tests.families.doctor import plants, plants_kafka

Plant = Callable[[Settings, pytest.MonkeyPatch], AbstractContextManager[None]]
GROUP = "mner-extract"


@dataclass(frozen=True)
class Case:
    """A fault. `finding`: the name of the check that must tell it. `says`, `remedy`: words that must be in it."""

    id: str
    plant: Plant
    finding: str
    level: str
    says: tuple[str, ...]
    remedy: str


CASES = [
    # what is committed, and who reads
    Case("beyond the end", plants_kafka.beyond_the_end, GROUP, "broken", ("partition 0 at 1004 of 4",), "mner worker"),
    Case(
        "below the start",
        plants_kafka.below_the_start,
        GROUP,
        "broken",
        ("12 unread", "0 at 2, begins at 5"),
        "RETENTION",
    ),
    Case(
        "a lag that stands still",
        plants_kafka.lag_stands_still,
        GROUP,
        "warning",
        ("lag 4", "not moved in 6 s"),
        "log of",
    ),
    Case("a deaf worker", plants_kafka.deaf_worker, GROUP, "warning", ("lag 40", "not moved in 6 s"), "start it again"),
    Case(
        "one deaf partition",
        plants_kafka.one_deaf_partition,
        GROUP,
        "warning",
        ("partition 2 at nothing of 10",),
        "log of",
    ),
    Case(
        "partitions of nobody",
        plants_kafka.nobody_s_partitions,
        GROUP,
        "broken",
        ("partition 1, partition 2", "lag 30"),
        "start",
    ),
    Case(
        "a member without a partition", plants_kafka.idle_member, GROUP, "warning", ("1 worker of 2 read no",), "start"
    ),
    # topics
    Case("missing topic", plants_kafka.missing_topic, "topics", "broken", ("tombstones",), "mner topics create"),
    Case(
        "thresholds", plants_kafka.answers_in_two_orders, "topics", "broken", ("must have one",), "mner topics create"
    ),
    Case("partitions", plants_kafka.more_partitions, "topics", "warning", ("decisions has 6",), "the same number"),
    Case(
        "type of timestamps",
        plants_kafka.altered(topics.TWEETS, **{"message.timestamp.type": "CreateTime"}),
        *("topic settings", "warning", ("message.timestamp.type=CreateTime",), "mner topics create"),
    ),
    Case(
        "retention",
        plants_kafka.altered(topics.DECISIONS, **{"retention.ms": "3600000"}),
        *("topic settings", "warning", ("retention.ms=3600000",), "mner topics create"),
    ),
    Case(
        "codec of a topic", plants_kafka.codec_of_topic, "codecs", "broken", ("compression.type=zstd",), "make install"
    ),
    Case(
        "codec of records", plants_kafka.codec_of_records, "codecs", "broken", ("tweets holds records",), "make install"
    ),
    Case(
        "min.insync.replicas",
        plants_kafka.altered(topics.DEAD, **{"min.insync.replicas": "2"}),
        *("replicas", "broken", ("tweets.dead has min.insync.replicas=2",), "lower min.insync.replicas"),
    ),
    # clocks (stand-ins)
    Case("clock behind Kafka", plants.clock_off(-90, "kafka"), "clock", "warning", ("Kafka", "s ahead"), "NTP"),
    Case("clock behind Redis", plants.clock_off(-90, "redis"), "clock", "warning", ("Redis", "s ahead"), "NTP"),
    Case("clock ahead", plants.clock_off(90, "elasticsearch"), "clock", "warning", ("behind",), "NTP"),
    # Redis and the queue
    Case(
        "no such database",
        plants.variable("MNER_REDIS", "{redis}/99"),
        "redis",
        "broken",
        ("no such database",),
        "number at the end",
    ),
    Case(
        "not Redis",
        plants.variable("MNER_REDIS", "redis://127.0.0.1:{port}/0"),
        "redis",
        "broken",
        ("does not speak",),
        "port",
    ),
    Case("a replica", plants.replica, "redis", "broken", ("replica of 127.0.0.1:1",), "name the master"),
    Case(
        "evicts",
        plants.configured(maxmemory="100mb", maxmemory_policy="allkeys-lru"),
        *("redis", "broken", ("evicts", "allkeys-lru"), "noeviction"),
    ),
    Case(
        "nearly full",
        plants.configured(maxmemory="{nearly}"),
        "redis",
        "warning",
        ("of its memory limit",),
        "raise maxmemory",
    ),
    Case("full", plants.configured(maxmemory="{full}"), "redis", "broken", ("takes no tasks",), "raise maxmemory"),
    Case("forgets", plants.configured(appendonly="no"), "redis", "warning", ("append-only",), "appendonly yes"),
    Case(
        "no rights",
        plants.user_without_rights,
        "queue",
        "broken",
        ("does not give our user the rights",),
        "ACL SETUSER",
    ),
    Case("a task of another version", plants.unreadable_task, "queue", "broken", ("1 of 3 tasks", "post 2"), "update"),
    Case("a task without content", plants.task_without_content, "queue", "broken", ("post 3: its content",), "feed"),
    Case("another database", plants.other_database, "queue", "warning", ("database 5 holds one",), "/5"),
    Case("a lost queue", plants.lost_queue, "queue", "warning", ("people decided 1 posts",), "MNER_REDIS"),
    Case(
        "keys of another program",
        plants.keys_of_another_program,
        "queue",
        "broken",
        ("another program",),
        "MNER_PREFIX",
    ),
    # Elasticsearch
    Case(
        "read-only cluster",
        plants.cluster_setting(cluster__blocks__read_only=True),
        *("blocks", "broken", ("cluster read-only",), "PUT _cluster/settings"),
    ),
    Case(
        "flood stage",
        plants.index_setting(index__blocks__read_only_allow_delete=True),
        *("blocks", "broken", ("flood-stage",), "free disk space"),
    ),
    Case(
        "no writes",
        plants.index_setting(index__blocks__write=True),
        "blocks",
        "broken",
        ("index write",),
        "blocks.write",
    ),
    Case("closed index", plants.closed_index, "blocks", "broken", ("index closed",), "_open"),
    Case(
        "low watermark",
        plants.cluster_setting(
            cluster__routing__allocation__disk__threshold_enabled=True,
            cluster__routing__allocation__disk__watermark__low="1%",
            cluster__routing__allocation__disk__watermark__high="99.8%",
            cluster__routing__allocation__disk__watermark__flood_stage="99.9%",
        ),
        *("disk of Elasticsearch", "warning", ("watermark low",), "free disk space"),
    ),
    Case("another mapping", plants.another_mapping, "index", "broken", ("created_at",), "docs/index.md"),
    Case("missing index", plants.missing_index, "index", "warning", ("does not exist",), "mner worker"),
    Case(
        "an index for the alias",
        plants.index_in_place_of_the_alias,
        "index",
        "broken",
        ("name of an alias",),
        "MNER_PREFIX",
    ),
    Case("no write index", plants.two_indexes, "index", "broken", ("no write index",), "is_write_index"),
    Case(
        "yellow",
        plants.index_setting(index__auto_expand_replicas=False, index__number_of_replicas=1),
        *("elasticsearch", "warning", ("yellow", "1 of its shards"), "allocation/explain"),
    ),
    Case(
        "somebody's index is red",
        plants.stranded(number_of_replicas=0, **{"routing.allocation.require._name": "nobody"}),
        *("elasticsearch", "warning", ("red", "mentions is green"), "allocation/explain"),
    ),
    Case("red", plants.unassigned_index, "elasticsearch", "broken", ("red", "1 of its shards"), "allocation/explain"),
    # the machine
    Case("no GPU", plants.variable("MNER_DEVICE", "cuda"), "gpu", "broken", ("no GPU",), "MNER_DEVICE=auto"),
    Case(
        "no such device",
        plants.variable("MNER_DEVICE", "cuda:3"),
        "settings",
        "broken",
        ("MNER_DEVICE='cuda:3'",),
        "correct",
    ),
    Case("home is a file", plants.home_is_a_file, "home", "broken", ("is a file",), "set MNER_HOME"),
    Case("home below a file", plants.home_leads_through_a_file, "home", "broken", ("is a file",), "set MNER_HOME"),
]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_a_planted_fault_is_found_with_its_remedy(
    deployment: Settings, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    with case.plant(deployment, monkeypatch):
        findings = examine()
    told = [one for one in findings if one.name in {case.finding, deployment.name(case.finding)} and one.level != "ok"]
    matching = [one for one in told if all(word in one.detail for word in case.says)]
    assert [one.level for one in matching] == [case.level], findings
    assert case.remedy in matching[0].remedy
    assert not [one for one in findings if "itself failed" in one.detail]


def test_nothing_is_told_where_nothing_is_planted(deployment: Settings) -> None:
    findings = [one for one in examine() if one.level != "ok"]
    assert [(one.name, one.detail) for one in findings] == [("groups", "no worker has read anything yet")]
