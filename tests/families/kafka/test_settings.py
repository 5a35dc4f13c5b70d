"""Topics have the settings of the plan, `mner topics create` mends them, and `mner doctor` tells of them."""

from __future__ import annotations

import asyncio
import time

import pytest
from kafka import KafkaConsumer, KafkaProducer
from typer.testing import CliRunner

from cli.doctor.kafka import check as kafka_check
from cli.main import build
from core.events import HEADERS
from streams import topics
from streams.settings import Settings
from tests.altered import alter, settings_of, until_set
from tests.families.kafka.topics_of import (
    commit,
    ends,
    post,
    send,
    until,
    until_all_committed,
    until_extracted,
)
from tests.streams.conftest import Start

YEAR_2015_MS = 1_420_070_400_000


def setting(settings: Settings, topic: str, name: str) -> str:
    return settings_of(str(settings.kafka), settings.name(topic), [name])[name]


def change(settings: Settings, topic: str, name: str, value: str) -> None:
    alter(str(settings.kafka), settings.name(topic), {name: value})


@pytest.mark.parametrize(
    ("topic", "name", "wrong", "planned"),
    [
        (topics.TWEETS, "message.timestamp.type", "CreateTime", "LogAppendTime"),
        (topics.EXTRACTIONS, "message.timestamp.type", "CreateTime", "LogAppendTime"),
        (topics.DECISIONS, "cleanup.policy", "delete", "compact"),
        (topics.TOMBSTONES, "cleanup.policy", "compact,delete", "compact"),
        (topics.EXTRACTIONS, "cleanup.policy", "delete", "compact,delete"),
        (topics.DECISIONS, "retention.ms", "3600000", "-1"),
        (topics.TWEETS, "retention.ms", "1000", str(168 * topics.HOUR_MS)),
        (topics.TWEETS, "max.message.bytes", "2000", str(topics.EVENT_BYTES)),
        (topics.DEAD, "max.message.bytes", "1000000", str(topics.MAX_MESSAGE_BYTES)),
    ],
)
def test_a_setting_that_differs_is_told_by_the_doctor_and_mended_by_create(
    posts: Settings, topic: str, name: str, wrong: str, planned: str
) -> None:
    change(posts, topic, name, wrong)
    assert posts.kafka is not None
    (finding,) = [finding for finding in kafka_check(posts.kafka, posts) if finding.name == "topic settings"]
    assert (finding.level, "`mner topics create`" in finding.remedy) == ("warning", True)
    assert f"{name}={wrong}" in finding.detail
    done = run(posts, "topics", "create")
    assert done.count("\n") == 1
    assert done.startswith(f"changed {posts.name(topic)}: {name} from {wrong} to {planned}")
    until_set(str(posts.kafka), posts.name(topic), {name: planned})
    assert "topic settings" not in {finding.name for finding in kafka_check(posts.kafka, posts)}
    assert run(posts, "topics", "create") == "all topics exist already, with the planned settings\n"


@pytest.mark.parametrize(
    ("topic", "name", "loose", "planned"),
    [
        (topics.TWEETS, "retention.ms", str(999 * topics.HOUR_MS), str(168 * topics.HOUR_MS)),
        (topics.EXTRACTIONS, "retention.ms", "-1", str(168 * topics.HOUR_MS)),
        (topics.TWEETS, "cleanup.policy", "compact", "delete"),
        (topics.TWEETS, "max.message.bytes", "20000000", str(topics.EVENT_BYTES)),
        (topics.TWEETS, "segment.ms", str(999 * topics.HOUR_MS), str(topics.HOUR_MS)),
        (topics.DECISIONS, "max.compaction.lag.ms", str(999 * topics.HOUR_MS), str(topics.COMPACT_MS)),
    ],
)
def test_what_would_delete_or_refuse_records_is_changed_only_on_request(
    posts: Settings, topic: str, name: str, loose: str, planned: str
) -> None:
    change(posts, topic, name, loose)
    assert posts.kafka is not None
    (finding,) = [finding for finding in kafka_check(posts.kafka, posts) if finding.name == "topic settings"]
    assert "--tighten" in finding.remedy
    told = f"left {posts.name(topic)}: {name} is {loose}, planned is {planned}; --tighten changes it\n"
    assert run(posts, "topics", "create") == told
    assert setting(posts, topic, name) == loose
    assert run(posts, "topics", "create", "--tighten").startswith(f"changed {posts.name(topic)}: {name} from {loose}")
    until_set(str(posts.kafka), posts.name(topic), {name: planned})


@pytest.mark.parametrize(
    ("name", "value"),
    [("compression.type", "zstd"), ("segment.bytes", "1048576"), ("cleanup.policy", "delete,compact")],
)
def test_what_the_plan_does_not_say_is_left_alone(posts: Settings, name: str, value: str) -> None:
    change(posts, topics.EXTRACTIONS, name, value)
    change(posts, topics.EXTRACTIONS, "max.message.bytes", "2000")
    before = setting(posts, topics.EXTRACTIONS, name)
    assert run(posts, "topics", "create").startswith(f"changed {posts.name(topics.EXTRACTIONS)}: max.message.bytes")
    assert setting(posts, topics.EXTRACTIONS, name) == before


def test_every_new_topic_keeps_the_time_of_the_broker(posts: Settings) -> None:
    kinds = {
        topic: setting(posts, topic, "message.timestamp.type") for topic in ("tweets", "extractions", "tombstones")
    }
    assert set(kinds.values()) == {"LogAppendTime"}


async def test_a_post_stamped_2015_is_not_deleted_as_old(posts: Settings, start: Start) -> None:
    assert posts.kafka is not None
    topics.mend(posts.kafka, topics.plan(posts))
    change(posts, topics.TWEETS, "segment.bytes", "1048576")
    producer = KafkaProducer(bootstrap_servers=posts.kafka, acks="all")
    sent = producer.send(posts.name(topics.TWEETS), post(1), b"t1", HEADERS, 0, YEAR_2015_MS).get(timeout=30)
    producer.close()
    assert abs(sent.timestamp - 1000 * time.time()) < 60_000
    start(posts, only=("extract",))
    await until_extracted(posts, [1])
    consumer = KafkaConsumer(
        posts.name(topics.EXTRACTIONS),
        bootstrap_servers=posts.kafka,
        auto_offset_reset="earliest",
        consumer_timeout_ms=5000,
    )
    stamps = [record.timestamp for record in consumer]
    consumer.close()
    assert all(abs(stamp - 1000 * time.time()) < 60_000 for stamp in stamps)


async def test_the_doctor_tells_of_offsets_beyond_the_log_and_sums_no_negative_lag(
    posts: Settings, start: Start
) -> None:
    assert posts.kafka is not None
    await asyncio.to_thread(send, posts, range(40))
    worker = start(posts, only=("extract",))
    await until_all_committed(posts)
    await asyncio.to_thread(worker.stop)
    first, second, *_ = sorted(ends(posts))
    commit(posts, {first: 1010, second: 5})
    (found,) = [one for one in kafka_check(posts.kafka, posts) if one.name == posts.name("mner-extract")]
    assert found.level == "broken"
    assert "partition 0 at 1010 of 10" in found.detail
    commit(posts, {first: 10})
    (found,) = [one for one in kafka_check(posts.kafka, posts) if one.name == posts.name("mner-extract")]
    assert "lag 5 on" in found.detail
    commit(posts, {first: 1010})
    start(posts, only=("extract",))
    await until_all_committed(posts)
    await until(lambda: _level(posts) == "ok", 10, "the doctor is content")


def _level(settings: Settings) -> str:
    assert settings.kafka is not None
    (found,) = [one for one in kafka_check(settings.kafka, settings) if one.name == settings.name("mner-extract")]
    return found.level


def run(settings: Settings, *arguments: str) -> str:
    environment = {"MNER_KAFKA": settings.kafka, "MNER_PREFIX": settings.prefix, "MNER_HOME": str(settings.home)}
    done = CliRunner().invoke(build(), list(arguments), env=environment)
    assert done.exit_code == 0, done.output
    return str(done.output)
