"""Rights that a real Kafka with ACLs refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from cli.doctor.finding import Finding
from cli.doctor.kafka import check
from local import kafka as local_kafka
from local.kafka import Kafka
from streams import topics
from streams.settings import Settings
from tests.conftest import settings_for
from tests.families.doctor.plants_kafka import wait_for_coordinator
from tests.families.kafka.topics_of import admin

AUTHORIZED = """
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
"""

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Kafka that asks its ACLs. Whatever no ACL names is allowed."""
    patch = pytest.MonkeyPatch()
    patch.setattr(local_kafka, "CONFIGURATION", local_kafka.CONFIGURATION + AUTHORIZED)
    server = Kafka(tmp_path_factory.mktemp("kafka"))
    try:
        server.start()
        server.ready()
        yield server.address
    finally:
        server.stop()
        patch.undo()


@contextmanager
def denied(settings: Settings, kind: ResourceType, name: str, operation: ACLOperation) -> Iterator[None]:
    pattern = ResourcePattern(kind, settings.name(name))
    everybody = ("User:ANONYMOUS", "*")
    rules = [ACL(*everybody, operation, ACLPermissionType.DENY, pattern)]
    if operation is not ACLOperation.DESCRIBE:
        rules.append(ACL(*everybody, ACLOperation.DESCRIBE, ACLPermissionType.ALLOW, pattern))
    with admin(settings) as client:
        client.create_acls(rules)
        yield
        client.delete_acls(rules)


@pytest.mark.parametrize(
    ("kind", "name", "operation", "check_name", "says", "remedy"),
    [
        (ResourceType.TOPIC, topics.TWEETS, ACLOperation.DESCRIBE, "rights", "see {prefix}tweets", "Describe"),
        (ResourceType.TOPIC, topics.DEAD, ACLOperation.WRITE, "rights", "Write on {prefix}tweets.dead", "kafka-acls"),
        (
            ResourceType.TOPIC,
            topics.TOMBSTONES,
            ACLOperation.READ,
            "rights",
            "Read on {prefix}tombstones",
            "kafka-acls",
        ),
        (ResourceType.GROUP, "mner-erase", ACLOperation.DESCRIBE, "mner-erase", "GroupAuthorization", "kafka-acls"),
    ],
)
def test_a_refused_right_is_told_as_one(
    brokers: str,
    tmp_path: pytest.TempPathFactory,
    kind: ResourceType,
    name: str,
    operation: ACLOperation,
    check_name: str,
    says: str,
    remedy: str,
) -> None:
    settings = settings_for({"kafka": brokers}, tmp_path)  # type: ignore[arg-type]
    topics.create(brokers, topics.plan(settings))
    wait_for_coordinator(settings)
    with denied(settings, kind, name, operation):
        findings = list(check(brokers, settings))  # before the rights come back
    found: list[Finding] = [one for one in findings if one.name in {check_name, settings.name(check_name)}]
    assert [one.level for one in found] == ["broken"], findings
    assert says.format(prefix=settings.prefix) in found[0].detail
    assert remedy in found[0].remedy
    assert "password" not in found[0].remedy
    assert "missing" not in {word for one in findings for word in one.detail.split()}
