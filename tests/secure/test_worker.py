"""A whole worker behind TLS and passwords: feed, search, queue, decide. And no output of any command has a secret."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli import failures
from cli.main import build
from local.stack import Stack
from review.decision_topic import DecisionTopic
from sinks.index.index import Index
from sinks.queue.queue import ReviewQueue
from streams import servers as known
from streams import topics
from streams.feed import feed
from streams.settings import Settings
from tests.conftest import ROOT
from tests.secure import proxy
from tests.secure.broker import PASSWORD, USER, SecureKafka, token
from tests.secure.certificates import Certificates
from tests.secure.conftest import Put
from tests.secure.redis_servers import SecureRedis
from tests.sinks.values import decision
from tests.streams.account import tweets
from tests.streams.conftest import Start, start

__all__ = ["start"]

pytestmark = pytest.mark.servers

WRONG = "wrong-but-still-a-secret"
COMMANDS = (
    ("config",),
    ("config", "--json"),
    ("doctor",),
    ("topics", "create"),
    ("search", "word"),
    ("queue", "list"),
    ("dead-letters", "list"),
)


def variables(
    kafka: SecureKafka, redis: SecureRedis, elasticsearch: int, certificates: Certificates, folder: Path
) -> dict[str, str]:
    """Returns the variables of a deployment. One secret of each server comes from a file."""
    ca, files = str(certificates.ca), {"kafka": PASSWORD, "key": proxy.API_KEY}
    for name, secret in files.items():
        (folder / name).write_text(f"{secret}\n")
    return {
        "KAFKA": kafka.address_of("SCRAM"),
        "KAFKA_TLS": "true",
        "KAFKA_CA": ca,
        "KAFKA_SASL": "SCRAM-SHA-512",
        "KAFKA_USER": USER,
        "KAFKA_PASSWORD_FILE": str(folder / "kafka"),
        "ELASTICSEARCH": f"https://127.0.0.1:1,https://localhost:{elasticsearch}",
        "ELASTICSEARCH_CA": ca,
        "ELASTICSEARCH_API_KEY_FILE": str(folder / "key"),
        "REDIS": f"rediss://127.0.0.1:{redis.tls_port}/0",
        "REDIS_CA": ca,
        "REDIS_USER": USER,
        "REDIS_PASSWORD": PASSWORD,
        "MODEL_FACTORY": "tests.streams.stub_model:load",
        "THRESHOLD": "0.5",
        "LOG_LEVEL": "DEBUG",
        "VISION_CHANNELS": "none",
    }


def outputs() -> str:
    """Runs the commands with this environment. Returns all that they print."""
    return "".join(said(*words) for words in COMMANDS)


def said(*words: str) -> str:
    """Runs a command in this process, which saves the imports. Returns what it prints, an error as `main` shows it."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            build()(list(words), standalone_mode=False)
        except Exception as error:
            if not failures.told(error):
                raise
    return printed.getvalue()


def said_by_a_worker() -> str:
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "worker"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout + done.stderr


async def until(settings: Settings, decided: int, indexed: int) -> tuple[Index, ReviewQueue]:
    """Waits for the worker. Returns the open clients of both sinks."""
    addresses = known.addresses(settings)
    index = Index(addresses.elasticsearch, settings.name("mentions"))
    queue = ReviewQueue(addresses.redis, settings.name("review:"))
    deadline = time.monotonic() + 60
    while True:
        await index.refresh()
        counts = await queue.counts()
        if await index.count() == indexed and counts.decided == decided and counts.open + counts.decided == 9:
            return index, queue
        assert time.monotonic() < deadline, counts
        await asyncio.sleep(0.2)


async def test_a_worker_behind_tls_and_passwords(
    servers: Stack,
    kafka: SecureKafka,
    redis: SecureRedis,
    certificates: Certificates,
    put: Put,
    start: Start,
    tmp_path: Path,
) -> None:
    with proxy.serving(servers.addresses["elasticsearch"], certificates.good) as (port, _):
        settings = put(variables(kafka, redis, port, certificates, tmp_path))
        brokers = known.kafka(settings)
        await asyncio.to_thread(topics.create, brokers, topics.plan(settings))
        worker = start(settings)
        assert await asyncio.to_thread(feed, tweets(range(21)), brokers, settings.name(topics.TWEETS)) == 21
        index, queue = await until(settings, 0, 21)
        try:
            (entry, *_) = await queue.list()
            decisions = await asyncio.to_thread(DecisionTopic, brokers, settings.name(topics.DECISIONS))
            await decisions.publish(decision(entry.task, int(time.time() * 1000)))
            await decisions.close()
            assert (await index.search("word", limit=3)).total == 21
        finally:
            await index.close()
            await queue.close()
        for client in await until(settings, 1, 21):
            await client.close()
        told = await asyncio.to_thread(outputs)
        assert await asyncio.to_thread(worker.stop) == 0
    assert "✓ queue" in told, told
    assert "✗" not in told, told
    assert "21" in told
    log = worker.log.read_text()
    assert "DEBUG" in log
    for secret in (PASSWORD, proxy.API_KEY, "not-to-be-shown"):
        assert secret not in told
        assert secret not in log


def test_no_error_shows_a_wrong_password(
    servers: Stack, kafka: SecureKafka, redis: SecureRedis, certificates: Certificates, put: Put, tmp_path: Path
) -> None:
    good = token()
    wrong = [
        {"KAFKA": kafka.address_of("PLAIN"), "KAFKA_TLS": "false", "KAFKA_CA": "", "KAFKA_SASL": "PLAIN"},
        {
            "KAFKA": kafka.address_of("TOKEN"),
            "KAFKA_TLS": "false",
            "KAFKA_CA": "",
            "KAFKA_SASL": "OAUTHBEARER",
            "KAFKA_PASSWORD": "",
            "KAFKA_TOKEN_COMMAND": f"sh -c 'echo {good}; echo {WRONG} >&2; exit 3'",
        },
    ]
    told = ""
    with proxy.serving(servers.addresses["elasticsearch"], certificates.good) as (port, _):
        for change in wrong:
            values = variables(kafka, redis, port, certificates, tmp_path)
            values |= {"KAFKA_PASSWORD_FILE": "", "KAFKA_PASSWORD": WRONG, "REDIS_PASSWORD": WRONG}
            values |= {"ELASTICSEARCH_API_KEY_FILE": "", "ELASTICSEARCH_API_KEY": WRONG}
            put(values | change)
            told += said("doctor")
        told += outputs() + said_by_a_worker()
    assert told.count("refuses our credentials") >= 3, told
    assert "failed with code 3" in told
    assert WRONG not in told
    assert good not in told
