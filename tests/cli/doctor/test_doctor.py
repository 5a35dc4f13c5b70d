"""`mner doctor` on real servers: well, unprepared, down, silent, and strangers at the address."""

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
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from cli.doctor import checks as doctor
from cli.doctor import servers as doctor_servers
from cli.doctor.servers import Finding
from local import jars as local_jars
from local.redis import Redis
from local.server import free_ports
from sinks.index import Index
from streams import topics
from streams.settings import Settings, load

pytestmark = pytest.mark.servers

PATIENCE_S = 20.0
NAMES = ("kafka", "elasticsearch", "redis")


@pytest.fixture
def deployment(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """The environment of a deployment on the shared servers, in which nothing is prepared."""
    monkeypatch.chdir(tmp_path)  # no .env of the repository
    for name in [name for name in os.environ if name.startswith("MNER_")]:
        monkeypatch.delenv(name)  # nor the settings of whoever runs the tests
    for name in (*NAMES, "prefix", "home"):
        monkeypatch.setenv(f"MNER_{name.upper()}", str(getattr(settings, name)))
    return settings


def examined() -> dict[str, Finding]:
    return {finding.name: finding for finding in doctor.examine()}


def test_what_is_not_prepared_is_named_with_the_command_that_prepares_it(deployment: Settings) -> None:
    found = examined()
    assert found["kafka"].level == "ok"
    assert found["topics"].level == "broken"
    assert f"{deployment.prefix}tombstones" in found["topics"].said
    assert "mner topics create" in found["topics"].mend
    assert (found["elasticsearch"].level, found["index"].level) == ("ok", "warning")
    assert "mner worker" in found["index"].mend


async def test_a_prepared_deployment_is_well_and_the_lag_of_each_group_is_counted(deployment: Settings) -> None:
    make_topics(deployment)
    assert deployment.elasticsearch
    index = Index(deployment.elasticsearch, deployment.name("mentions"))
    await index.prepare()
    await index.close()
    leave_lag(deployment, fed=5, read=2)
    found = examined()
    assert {name: finding.level for name, finding in found.items() if finding.level == "broken"} == {}
    assert (found["topics"].level, found["index"].level) == ("ok", "ok")
    extract = found[deployment.name("mner-extract")]
    assert (extract.level, extract.said.split(" on ")[0]) == ("warning", "lag 3")
    assert "nobody reads" in extract.said
    assert found[deployment.name("mner-erase")].said.startswith("lag 0 ")


def test_a_reading_worker_is_counted(deployment: Settings) -> None:
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
        extract = examined()[deployment.name("mner-extract")]
    finally:
        consumer.close()
    assert (extract.level, extract.said.split(", ")[-1]) == ("ok", "1 worker")


def test_other_partitions_than_planned_are_a_warning(deployment: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    make_topics(deployment)
    monkeypatch.setenv("MNER_PARTITIONS", "7")
    found = examined()["topics"]
    assert found.level == "warning"
    assert f"MNER_PARTITIONS is 7, but {deployment.prefix}tweets has 4" in found.said


async def test_an_index_that_is_mapped_otherwise_is_broken_and_the_field_is_named(deployment: Settings) -> None:
    assert deployment.elasticsearch
    name = deployment.name("mentions")
    index = Index(deployment.elasticsearch, name)
    await index.prepare()
    client = index._client
    await client.indices.delete(index=f"{name}-1")
    await client.indices.put_index_template(name=name, index_patterns=[f"{name}-*"], priority=len(name))
    mapping = {"properties": {"mentions": {"type": "nested", "properties": {"type": {"type": "text"}}}}}
    await client.indices.create(index=f"{name}-1", aliases={name: {}}, mappings=mapping)
    await index.close()
    found = examined()["index"]
    assert found.level == "broken"
    assert "mentions.type" in found.said


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", ["nothing listens", "silent", "a stranger"])
def test_a_server_that_is_of_no_use_is_one_line_soon_and_the_others_are_examined(
    deployment: Settings, monkeypatch: pytest.MonkeyPatch, name: str, fault: str
) -> None:
    with no_use(fault, deployment) as port:
        address = {"kafka": "127.0.0.1:{}", "elasticsearch": "http://127.0.0.1:{}", "redis": "redis://127.0.0.1:{}"}
        monkeypatch.setenv(f"MNER_{name.upper()}", address[name].format(port))
        started = time.monotonic()
        found = examined()
        assert time.monotonic() - started < PATIENCE_S
    assert found[name].level == "broken"
    assert "failed itself" not in found[name].said
    assert str(port) in found[name].said
    assert f"MNER_{name.upper()}" in found[name].said + found[name].mend or "Elasticsearch" in found[name].mend
    assert [found[other].level for other in NAMES if other != name] == ["ok", "ok"]


def test_a_server_without_an_address_is_broken_and_the_others_are_examined(
    deployment: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MNER_REDIS")
    found = examined()
    assert found["redis"].level == "broken"
    assert "set MNER_REDIS, or start servers with `mner local up`" in found["redis"].said
    assert (found["kafka"].level, found["elasticsearch"].level) == ("ok", "ok")


@pytest.mark.parametrize(
    ("change", "level", "word"),
    [
        pytest.param({}, "ok", "append-only file on", id="as local servers are"),
        pytest.param({"appendonly": "no"}, "warning", "a crash loses tasks", id="no append-only file"),
        pytest.param(
            {"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}, "broken", "allkeys-lru", id="evicts when full"
        ),
        pytest.param({"maxmemory": "100mb", "maxmemory-policy": "noeviction"}, "ok", "", id="full refuses writes"),
        pytest.param({"requirepass": "secret"}, "broken", "refuses us", id="wants a password"),
    ],
)
def test_redis_keeps_what_it_is_given(tmp_path: Path, change: dict[str, str], level: str, word: str) -> None:
    server = Redis(tmp_path)
    server.start()
    server.ready()
    try:
        with redis_client.Redis.from_url(server.address) as client:
            for name, value in change.items():
                client.config_set(name, value)
        (found,) = doctor_servers.redis(server.address, load())
    finally:
        server.stop()
    assert found.level == level
    assert word in found.said


def test_passwords_are_not_shown(deployment: Settings) -> None:
    (port,) = free_ports(1)
    for check, url in (
        (doctor_servers.redis, f"redis://me:hidden@127.0.0.1:{port}"),
        (doctor_servers.elasticsearch, f"http://me:hidden@127.0.0.1:{port}"),
    ):
        (found,) = check(url, deployment)
        assert found.level == "broken"
        assert "hidden" not in found.said + found.mend


def test_a_bad_setting_is_named_and_ends_the_examination(deployment: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNER_THRESHOLD", "7")
    found = examined()
    assert set(found) == {"python", "settings"}
    assert found["settings"].level == "broken"
    assert "MNER_THRESHOLD='7'" in found["settings"].said


def test_settings_are_counted_by_where_they_come_from(deployment: Settings) -> None:
    Path(".env").write_text("MNER_LOG_LEVEL=DEBUG\nMNER_HOME=elsewhere\n")
    assert examined()["settings"].said == "valid; 5 from the environment, 1 from .env, the rest defaults"


@pytest.mark.parametrize("where", ["environment", ".env"])
def test_a_misspelt_setting_is_noticed(deployment: Settings, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    if where == ".env":
        Path(".env").write_text("MNER_BATCH_TOKEN=1\n")
    else:
        monkeypatch.setenv("MNER_BATCH_TOKEN", "1")
    found = examined()["settings"]
    assert found.level == "warning"
    assert "did you mean MNER_BATCH_TOKENS?" in found.mend


def test_a_missing_checkpoint_is_broken(deployment: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MNER_MODEL", str(tmp_path / "nowhere"))
    found = examined()["checkpoint"]
    assert found.level == "broken"
    assert "MNER_MODEL" in found.said


def test_jars_that_are_not_cached_are_a_warning_with_their_size(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(local_jars, "default_cache", lambda: tmp_path)
    found = doctor.jars(Settings(_env_file=None, kafka=None, elasticsearch=None))  # type: ignore[call-arg]
    assert found.level == "warning"
    assert "MB" in found.mend


@pytest.mark.parametrize(
    ("factory", "level"),
    [
        pytest.param("tests.streams.stub_model:load", "ok", id="it loads"),
        pytest.param("tests.streams.stub_model:absent", "broken", id="it does not"),
    ],
)
def test_deep_loads_the_model_in_its_own_process(settings: Settings, factory: str, level: str) -> None:
    chosen = settings.model_copy(update={"model_factory": factory})
    (found,) = doctor._guarded("model", lambda: [doctor.model(chosen)])
    assert found.level == level
    assert "failed itself" not in found.said


@pytest.mark.parametrize("prepared", [True, False], ids=["prepared", "not prepared"])
def test_the_command_says_it_in_json_and_by_its_exit_code(deployment: Settings, prepared: bool) -> None:
    if prepared:
        make_topics(deployment)
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "doctor", "--json"], capture_output=True, text=True, check=False
    )
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ok"]) == ((0, True) if prepared else (1, False))
    assert {check["level"] for check in answer["checks"]} <= {"ok", "warning", "broken"}
    assert "Traceback" not in done.stderr


def test_the_command_gives_one_line_a_check(deployment: Settings) -> None:
    done = subprocess.run([sys.executable, "-m", "cli.main", "doctor"], capture_output=True, text=True, check=False)
    *lines, end = done.stdout.splitlines()
    assert end == "1 broken"
    assert all(line[:2] in {"✓ ", "! ", "✗ "} for line in lines)
    (topics_line,) = (line for line in lines if line.startswith("✗ topics"))
    assert topics_line.endswith("→ `mner topics create`")


def make_topics(settings: Settings) -> None:
    assert settings.kafka
    topics.create(settings.kafka, settings)


def leave_lag(settings: Settings, *, fed: int, read: int) -> None:
    """`fed` tweets on partition 0, of which the extract group has committed `read`; the other groups have nothing."""
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
def no_use(fault: str, settings: Settings) -> Iterator[int]:
    """A port of this machine: nothing there, somebody who never answers, or another server."""
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
