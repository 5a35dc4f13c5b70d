"""docker-compose.yml is valid, and agrees with the Dockerfile, .env.example and the code. No container starts here."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema.validators import validator_for

from local.jars import ROOTS
from streams.settings import Settings
from tests.conftest import ROOT

SERVERS = ("kafka", "elasticsearch", "redis")
OURS = ("topics", "worker")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    with (ROOT / "docker-compose.yml").open() as file:
        loaded: dict[str, Any] = yaml.safe_load(file)
    return loaded


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    services: dict[str, Any] = compose["services"]
    return services


def faults(file: Path) -> list[str]:
    """Returns the violations of the JSON schema of the Compose specification, which check-jsonschema carries."""
    carrier = find_spec("check_jsonschema")  # not imported, since it needs a newer click than Faust does
    assert carrier is not None
    assert carrier.origin is not None
    schema = json.loads((Path(carrier.origin).parent / "builtin_schemas/vendor/compose-spec.json").read_text())
    validator = validator_for(schema)(schema)
    return [error.message for error in validator.iter_errors(yaml.safe_load(file.read_text()))]


def test_the_compose_file_is_valid() -> None:
    assert faults(ROOT / "docker-compose.yml") == []


def test_the_schema_refuses_an_invalid_compose_file(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text("services: {worker: {image: a, depends_on: {kafka: {condition: service_great}}}}\n")
    assert any("service_great" in fault for fault in faults(wrong))


def test_its_services_are_the_servers_the_topics_and_the_worker(services: dict[str, Any]) -> None:
    assert set(services) == {*SERVERS, *OURS}
    assert services["topics"]["command"] == ["mner", "topics", "create"]
    assert services["worker"]["command"] == ["mner", "worker"]


def test_the_worker_waits_for_healthy_servers_and_for_the_topics(services: dict[str, Any]) -> None:
    waits = {name: wait["condition"] for name, wait in services["worker"]["depends_on"].items()}
    assert waits == dict.fromkeys(SERVERS, "service_healthy") | {"topics": "service_completed_successfully"}
    assert all("healthcheck" in services[name] for name in SERVERS)


def test_every_port_is_published_on_the_loopback_address_only(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_service_has_a_memory_limit_and_every_server_a_declared_volume(
    compose: dict[str, Any], services: dict[str, Any]
) -> None:
    assert all(re.fullmatch(r"\d+[mg]", service["mem_limit"]) for service in services.values())
    used = {volume.split(":")[0] for name in SERVERS for volume in services[name]["volumes"]}
    assert used == set(compose["volumes"])
    logs = services["kafka"]["environment"]["KAFKA_LOG_DIRS"]
    assert services["kafka"]["volumes"] == [f"kafka:{logs}"]


def test_the_servers_have_the_versions_of_the_demo_and_the_tests(services: dict[str, Any]) -> None:
    kafka, elasticsearch = (ROOTS[name][0].rsplit(":", 1)[1] for name in ("kafka", "elasticsearch"))
    assert services["kafka"]["image"] == f"apache/kafka:{kafka}"
    assert services["elasticsearch"]["image"] == f"elasticsearch:{elasticsearch}"


def test_the_worker_gets_the_addresses_where_the_servers_listen(services: dict[str, Any]) -> None:
    for name in OURS:
        given = services[name]["environment"]
        where = Settings(_env_file=None, **{key.removeprefix("MNER_").lower(): value for key, value in given.items()})
        assert f"INSIDE://{where.kafka}" in services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
        assert where.elasticsearch == "http://elasticsearch:9200"
        assert where.redis == "redis://redis:6379/0"


@pytest.mark.parametrize("file", [".env.example", "docs/docker.md"])
def test_the_documented_addresses_are_the_published_ones(services: dict[str, Any], file: str) -> None:
    given = dict(re.findall(r"(MNER_(?:KAFKA|ELASTICSEARCH|REDIS))=(\S+)", (ROOT / file).read_text()))
    hosts = {name: services[name]["ports"][0].rsplit(":", 1)[0] for name in SERVERS}
    assert given == {
        "MNER_KAFKA": hosts["kafka"],
        "MNER_ELASTICSEARCH": f"http://{hosts['elasticsearch']}",
        "MNER_REDIS": f"redis://{hosts['redis']}/0",
    }
    advertised = services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert f"HOST://{hosts['kafka']}" in advertised


def test_kafka_creates_no_topic_by_itself_and_redis_is_durable_and_evicts_nothing(services: dict[str, Any]) -> None:
    assert services["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    redis = services["redis"]["command"]
    assert redis[redis.index("--appendonly") + 1] == "yes"
    assert redis[redis.index("--maxmemory-policy") + 1] == "noeviction"


def test_the_grace_period_is_longer_than_draining(services: dict[str, Any]) -> None:
    from streams.worker import STOP_S

    grace = float(services["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace > Settings.model_fields["drain_s"].default + STOP_S


def test_the_example_env_file_is_valid_with_and_without_its_commented_lines(tmp_path: Path) -> None:
    text = (ROOT / ".env.example").read_text()
    env = tmp_path / ".env"
    for used in (text, re.sub(r"(?m)^#(?=MNER_)", "", text)):
        env.write_text(used)
        assert Settings(_env_file=env).kafka == "127.0.0.1:9092"


def test_the_image_installs_the_lock_of_a_worker_and_runs_without_root() -> None:
    lines = (ROOT / "Dockerfile").read_text()
    assert "--require-hashes requirements-worker.lock" in lines
    last = lines.rpartition("\nFROM ")[2]
    user = re.search(r"^USER (\S+)$", last, re.MULTILINE)
    assert user
    assert user[1] not in {"root", "0"}
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", lines, re.MULTILINE):
        assert all((ROOT / name).exists() for name in source.split())


def test_the_image_has_no_secrets_and_every_package_of_the_command() -> None:
    ignored = {line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")}
    assert {".env", ".git"} <= ignored
    assert ignored.isdisjoint({"streams", "model", "sinks", "local", "review", "requirements-worker.lock", "README.md"})
