"""`mner doctor` on real servers: prepared, unprepared, down, silent, and other servers at the address."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_client
from elasticsearch import AsyncElasticsearch
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from cli.doctor import checks, machine
from cli.doctor import elasticsearch as elasticsearch_check
from cli.doctor import redis as redis_check
from cli.doctor.finding import Finding
from local import jars as local_jars
from local.redis import Redis
from local.server import free_ports
from local.stack import Stack
from sinks.index.index import Index
from sinks.index.mapping import PROPERTIES
from streams import topics
from streams.settings import Settings, load
from tests.conftest import settings_for

pytestmark = pytest.mark.servers

PATIENCE_S = 20.0
NAMES = ("kafka", "elasticsearch", "redis")


@pytest.fixture
def deployment(own_servers: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """Sets the environment of a deployment where nothing is prepared.

    The shared servers would not do, since an index that another test creates is red for a moment.
    """
    settings = settings_for(own_servers.addresses, tmp_path)
    monkeypatch.chdir(tmp_path)  # away from the .env of the repository
    for name in [name for name in os.environ if name.startswith("MNER_")]:
        monkeypatch.delenv(name)  # nor the settings of the person who runs the tests
    for name in (*NAMES, "prefix", "home"):
        monkeypatch.setenv(f"MNER_{name.upper()}", str(getattr(settings, name)))
    return settings


def findings() -> dict[str, Finding]:
    return {finding.name: finding for finding in checks.examine()}


def test_missing_topics_and_a_missing_index_come_with_the_command_that_creates_them(deployment: Settings) -> None:
    report = findings()
    assert report["kafka"].level == "ok"
    assert report["topics"].level == "broken"
    assert f"{deployment.prefix}tombstones" in report["topics"].detail
    assert "mner topics create" in report["topics"].remedy
    assert (report["elasticsearch"].level, report["index"].level) == ("ok", "warning")
    assert "mner worker" in report["index"].remedy


async def test_a_prepared_deployment_is_fine_and_the_lag_of_each_group_is_counted(deployment: Settings) -> None:
    make_topics(deployment)
    assert deployment.elasticsearch
    index = Index(deployment.elasticsearch, deployment.name("mentions"))
    await index.prepare()
    await index.close()
    leave_lag(deployment, fed=5, read=2)
    report = findings()
    assert {name: finding.level for name, finding in report.items() if finding.level == "broken"} == {}
    assert (report["topics"].level, report["index"].level) == ("ok", "ok")
    extract = report[deployment.name("mner-extract")]
    assert (extract.level, extract.detail.split(" on ")[0]) == ("warning", "lag 3")
    assert "no worker reads it" in extract.detail
    assert report[deployment.name("mner-erase")].detail.startswith("lag 0 ")


def test_a_worker_that_reads_is_counted(deployment: Settings) -> None:
    make_topics(deployment)
    consumer = KafkaConsumer(
        deployment.name(topics.TWEETS),
        bootstrap_servers=deployment.kafka,
        group_id=deployment.name("mner-extract"),
    )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not consumer.assignment() and time.monotonic() < deadline:
            consumer.poll(timeout_ms=200)
        extract = findings()[deployment.name("mner-extract")]
    finally:
        consumer.close()
    assert (extract.level, extract.detail.split(", ")[-1]) == ("ok", "1 worker")


def test_a_number_of_partitions_that_differs_from_the_setting_is_a_warning(
    deployment: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_topics(deployment)
    monkeypatch.setenv("MNER_PARTITIONS", "7")
    finding = findings()["topics"]
    assert finding.level == "warning"
    assert f"MNER_PARTITIONS is 7, but {deployment.prefix}tweets has 4" in finding.detail


async def test_an_index_with_another_mapping_is_broken_and_the_field_is_named(deployment: Settings) -> None:
    assert deployment.elasticsearch
    name = deployment.name("mentions")
    mapping = {"properties": {"mentions": {"type": "nested", "properties": {"type": {"type": "text"}}}}}
    async with AsyncElasticsearch(deployment.elasticsearch) as client:
        await client.indices.put_index_template(name=name, index_patterns=[f"{name}-*"], priority=len(name))
        await client.indices.create(index=f"{name}-1", aliases={name: {}}, mappings=mapping)
    finding = findings()["index"]
    assert finding.level == "broken"
    assert "mentions.type" in finding.detail


async def test_an_index_of_an_earlier_version_is_a_warning_until_a_worker_prepares_it(deployment: Settings) -> None:
    assert deployment.elasticsearch
    name = deployment.name("mentions")
    mapping = {field: kind for field, kind in PROPERTIES.items() if field != "model_version"}
    async with AsyncElasticsearch(deployment.elasticsearch) as client:
        await client.indices.put_index_template(name=name, index_patterns=[f"{name}-*"], priority=len(name))
        await client.indices.create(index=f"{name}-1", aliases={name: {}}, mappings={"properties": mapping})
    finding = findings()["index"]
    assert (finding.level, "model_version" in finding.detail) == ("warning", True)
    index = Index(deployment.elasticsearch, name)
    await index.prepare()
    await index.close()
    assert findings()["index"].level == "ok"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", ["nothing listens", "silent", "a stranger"])
def test_an_unusable_server_is_reported_quickly_and_the_others_are_checked(
    deployment: Settings, monkeypatch: pytest.MonkeyPatch, name: str, fault: str
) -> None:
    with unusable(fault, deployment) as port:
        address = {"kafka": "127.0.0.1:{}", "elasticsearch": "http://127.0.0.1:{}", "redis": "redis://127.0.0.1:{}"}
        monkeypatch.setenv(f"MNER_{name.upper()}", address[name].format(port))
        started = time.monotonic()
        report = findings()
        assert time.monotonic() - started < PATIENCE_S
    assert report[name].level == "broken"
    assert "itself failed" not in report[name].detail
    assert str(port) in report[name].detail
    assert f"MNER_{name.upper()}" in report[name].detail + report[name].remedy or "Elasticsearch" in report[name].remedy
    assert [report[other].level for other in NAMES if other != name] == ["ok", "ok"]


def test_a_server_without_an_address_is_broken_and_the_others_are_checked(
    deployment: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MNER_REDIS")
    report = findings()
    assert report["redis"].level == "broken"
    assert "set MNER_REDIS, or start servers with `mner local up`" in report["redis"].detail
    assert (report["kafka"].level, report["elasticsearch"].level) == ("ok", "ok")


@pytest.mark.parametrize(
    ("change", "level", "word"),
    [
        pytest.param({}, "ok", "append-only file on", id="as local servers are"),
        pytest.param({"appendonly": "no"}, "warning", "a crash loses tasks", id="no append-only file"),
        pytest.param(
            {"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}, "broken", "allkeys-lru", id="evicts when full"
        ),
        pytest.param({"maxmemory": "100mb", "maxmemory-policy": "noeviction"}, "ok", "", id="full refuses writes"),
        pytest.param({"requirepass": "secret"}, "broken", "asks for a password", id="a password is missing"),
    ],
)
def test_redis_must_neither_evict_nor_forget_tasks(
    tmp_path: Path, change: dict[str, str], level: str, word: str
) -> None:
    server = Redis(tmp_path)
    server.start()
    server.ready()
    try:
        with redis_client.Redis.from_url(server.address) as client:
            for name, value in change.items():
                client.config_set(name, value)
        (finding, *_) = redis_check.check(server.address, load())
    finally:
        server.stop()
    assert finding.level == level
    assert word in finding.detail


def test_passwords_are_not_shown(deployment: Settings) -> None:
    (port,) = free_ports(1)
    for check, url in (
        (redis_check.check, f"redis://me:hidden@127.0.0.1:{port}"),
        (elasticsearch_check.check, f"http://me:hidden@127.0.0.1:{port}"),
    ):
        (finding,) = check(url, deployment)
        assert finding.level == "broken"
        assert "hidden" not in finding.detail + finding.remedy


def test_an_invalid_setting_is_named_and_ends_the_checks(deployment: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNER_THRESHOLD", "7")
    report = findings()
    assert set(report) == {"python", "settings"}
    assert report["settings"].level == "broken"
    assert "MNER_THRESHOLD='7'" in report["settings"].detail


def test_settings_are_counted_by_their_origin(deployment: Settings) -> None:
    Path(".env").write_text("MNER_LOG_LEVEL=DEBUG\nMNER_HOME=elsewhere\n")
    assert findings()["settings"].detail == "valid; 5 from the environment, 1 from .env, the rest defaults"


@pytest.mark.parametrize("where", ["environment", ".env"])
def test_a_misspelt_setting_is_noticed(deployment: Settings, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    if where == ".env":
        Path(".env").write_text("MNER_BATCH_TOKEN=1\n")
    else:
        monkeypatch.setenv("MNER_BATCH_TOKEN", "1")
    finding = findings()["settings"]
    assert finding.level == "warning"
    assert "did you mean MNER_BATCH_TOKENS?" in finding.remedy


def test_a_setting_that_became_a_constant_is_to_be_removed(
    deployment: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNER_IMAGE_TRIES", "5")
    finding = findings()["settings"]
    assert (finding.level, finding.remedy) == ("warning", "remove MNER_IMAGE_TRIES")
    assert "MNER_IMAGE_TRIES" in finding.detail


def test_a_missing_checkpoint_is_broken(deployment: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MNER_MODEL", str(tmp_path / "nowhere"))
    finding = findings()["checkpoint"]
    assert finding.level == "broken"
    assert "MNER_MODEL" in finding.detail


def test_jars_that_are_not_cached_are_a_warning_with_their_size(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(local_jars, "default_cache", lambda: tmp_path)
    finding = machine.jars(Settings(_env_file=None, kafka=None, elasticsearch=None))
    assert finding.level == "warning"
    assert "MB" in finding.remedy


@pytest.mark.parametrize(
    ("factory", "level"),
    [
        pytest.param("tests.streams.stub_model:load", "ok", id="it loads"),
        pytest.param("tests.streams.stub_model:absent", "broken", id="it does not"),
    ],
)
def test_deep_loads_the_model_in_its_own_process(settings: Settings, factory: str, level: str) -> None:
    chosen = settings.model_copy(update={"model_factory": factory})
    (finding,) = checks.run_check("model", lambda: [machine.model(chosen)])
    assert finding.level == level
    assert "itself failed" not in finding.detail


@pytest.mark.parametrize("prepared", [True, False], ids=["prepared", "not prepared"])
def test_the_command_reports_in_json_and_by_its_exit_code(deployment: Settings, prepared: bool) -> None:
    if prepared:
        make_topics(deployment)
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "doctor", "--json"], capture_output=True, text=True, check=False
    )
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ok"]) == ((1, True) if prepared else (2, False))
    assert {check["level"] for check in answer["checks"]} <= {"ok", "warning", "broken"}
    assert "Traceback" not in done.stderr


def test_the_command_prints_one_line_per_check(deployment: Settings) -> None:
    done = subprocess.run([sys.executable, "-m", "cli.main", "doctor"], capture_output=True, text=True, check=False)
    *lines, end = done.stdout.splitlines()
    assert end == "1 broken, 1 warning"
    assert all(line[:2] in {"✓ ", "! ", "✗ "} for line in lines)
    (topics_line,) = (line for line in lines if line.startswith("✗ topics"))
    assert topics_line.endswith("→ `mner topics create`")


def make_topics(settings: Settings) -> None:
    assert settings.kafka
    topics.create(settings.kafka, topics.plan(settings))


def leave_lag(settings: Settings, *, fed: int, read: int) -> None:
    """Sends `fed` posts to partition 0, and commits `read` of them for the extract group."""
    producer = KafkaProducer(bootstrap_servers=settings.kafka)
    for _ in range(fed):
        producer.send(settings.name(topics.TWEETS), value=b"{}", partition=0)
    producer.close()
    for agent, offset in (("extract", read), ("erase", 0)):
        group = settings.name(f"mner-{agent}")
        consumer = KafkaConsumer(bootstrap_servers=settings.kafka, group_id=group)
        topic = settings.name(topics.TWEETS if agent == "extract" else topics.TOMBSTONES)
        consumer.commit({TopicPartition(topic, 0): OffsetAndMetadata(offset, "", -1)})
        consumer.close()


@contextlib.contextmanager
def unusable(fault: str, settings: Settings) -> Iterator[int]:
    """Yields a port where nothing listens, where a listener never answers, or where another kind of server runs."""
    if fault == "nothing listens":
        yield free_ports(1)[0]
        return
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if fault == "silent":
            yield port
            return
        stranger = subprocess.Popen(
            [sys.executable, "-c", STRANGER, str(listener.fileno())], pass_fds=[listener.fileno()]
        )
        try:
            yield port
        finally:
            stranger.kill()
            stranger.wait()


STRANGER = """
import http.server, socket, sys
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=int(sys.argv[1]))
server.RequestHandlerClass.log_message = lambda *_: None
server.serve_forever()
"""
