"""Each way to connect to a real Kafka: all clients of ours get in, and the doctor tells each fault apart."""

from __future__ import annotations

import asyncio
import re

import pytest
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from cli.doctor.checks import run_check
from cli.doctor.checks import server as check_server
from cli.doctor.finding import Finding
from core.errors import Stop
from review.decision_topic import DecisionTopic
from sinks.dead_letters import read
from streams import servers, topics
from streams.feed import feed
from streams.producer import Producer
from streams.settings import Settings
from tests.conftest import ROOT
from tests.secure.broker import PASSWORD, USER, WEAK, SecureKafka, token
from tests.secure.certificates import Certificates
from tests.secure.conftest import Put
from tests.sinks.values import decision, task

pytestmark = pytest.mark.servers

Variables = dict[str, str]


def variables(kafka: SecureKafka, certificates: Certificates, way: str) -> Variables:
    """Returns the variables of a way to connect, without MNER_."""
    login = {"KAFKA_USER": USER, "KAFKA_PASSWORD": PASSWORD}
    tls = {"KAFKA_TLS": "true", "KAFKA_CA": str(certificates.ca)}
    ours = {"KAFKA_CERTIFICATE": str(certificates.client.certificate), "KAFKA_KEY": str(certificates.client.key)}
    ways = {
        "tls": ("TLS", tls),
        "mtls": ("MTLS", tls | ours),
        "plain": ("PLAIN", login | {"KAFKA_SASL": "PLAIN"}),
        "scram-256": ("SCRAM", tls | login | {"KAFKA_SASL": "SCRAM-SHA-256"}),
        "scram-512": ("SCRAM", tls | login | {"KAFKA_SASL": "SCRAM-SHA-512"}),
        "token": ("TOKEN", {"KAFKA_SASL": "OAUTHBEARER", "KAFKA_TOKEN_COMMAND": f"echo {token()}"}),
    }
    listener, values = ways[way]
    return {"KAFKA": kafka.address_of(listener), **values}


WAYS = ("tls", "mtls", "plain", "scram-256", "scram-512", "token")


@pytest.mark.parametrize("way", WAYS)
async def test_every_client_gets_in(kafka: SecureKafka, certificates: Certificates, way: str, put: Put) -> None:
    settings = put(variables(kafka, certificates, way))
    await asyncio.to_thread(use_each_client, settings)
    async with Producer(servers.kafka(settings)) as producer:
        await producer.send(settings.name(topics.DEAD), b"1", b"broken")
    letters = await asyncio.to_thread(read, servers.kafka(settings), settings.name(topics.DEAD))
    assert [letter.letter.value for letter in letters] == ["broken"]
    decisions = await asyncio.to_thread(DecisionTopic, servers.kafka(settings), settings.name(topics.DECISIONS))
    await decisions.publish(decision(task("1"), 1000))
    await decisions.close()


def use_each_client(settings: Settings) -> None:
    brokers = servers.kafka(settings)
    assert len(topics.create(brokers, topics.plan(settings))) == len(topics.plan(settings))
    assert feed([b'{"id": "1"}'], brokers, settings.name(topics.TWEETS)) == 1


def told(settings: Settings) -> list[Finding]:
    return [one for one in run_check("kafka", lambda: check_server("kafka", settings)) if one.level != "ok"]


SAYS = {
    "expired": ("has expired by our clock", "renew the certificate"),
    "early": ("not valid yet by our clock", "NTP"),
    "name": ("for another host name", "host name"),
    "unknown": ("do not trust the certificate", "MNER_KAFKA_CA"),
    "tls to a plain port": ("does not speak TLS", "MNER_KAFKA_TLS=false"),
    "plain to a tls port": ("speaks TLS at this port, and we do not", "MNER_KAFKA_TLS=true"),
    "no certificate": ("refuses our TLS", "MNER_KAFKA_CERTIFICATE"),
    "no login": ("asks for a login", "MNER_KAFKA_SASL"),
    "login where none is": ("another way to log in", "remove MNER_KAFKA_SASL"),
    "another mechanism": ("another way to log in", "a mechanism that it offers"),
    "wrong password": ("refuses our credentials", "MNER_KAFKA_PASSWORD"),
    "wrong password of SCRAM": ("refuses our credentials", "MNER_KAFKA_PASSWORD"),
    "no such user": ("refuses our credentials", "MNER_KAFKA_USER"),
}


@pytest.mark.parametrize("fault", SAYS)
def test_the_doctor_tells_faults_apart(kafka: SecureKafka, certificates: Certificates, fault: str, put: Put) -> None:
    values = {way: variables(kafka, certificates, way) for way in WAYS}
    tls = values["tls"]
    planted = {
        "expired": tls | {"KAFKA": kafka.address_of("EXPIRED")},
        "early": tls | {"KAFKA": kafka.address_of("EARLY")},
        "name": tls | {"KAFKA": kafka.address_of("OTHERNAME")},
        "unknown": tls | {"KAFKA": kafka.address_of("UNKNOWN")},
        "tls to a plain port": tls | {"KAFKA": kafka.address},
        "plain to a tls port": {"KAFKA": kafka.address_of("TLS")},
        "no certificate": tls | {"KAFKA": kafka.address_of("MTLS")},
        "no login": {"KAFKA": kafka.address_of("PLAIN")},
        "login where none is": values["plain"] | {"KAFKA": kafka.address},
        "another mechanism": values["plain"] | {"KAFKA_SASL": "SCRAM-SHA-256"},
        "wrong password": values["plain"] | {"KAFKA_PASSWORD": "wrong-password"},
        "wrong password of SCRAM": values["scram-512"] | {"KAFKA_PASSWORD": "wrong-password"},
        "no such user": values["scram-256"] | {"KAFKA_USER": "nobody"},
    }[fault]
    says, remedy = SAYS[fault]
    *_, finding = told(put(planted))
    assert (finding.name, finding.level) == ("kafka", "broken")
    assert says in finding.detail
    assert remedy in finding.remedy
    assert PASSWORD not in finding.detail
    assert "wrong-password" not in finding.detail


def test_the_doctor_tells_a_missing_right(kafka: SecureKafka, certificates: Certificates, put: Put) -> None:
    settings = put(variables(kafka, certificates, "plain") | {"KAFKA_USER": WEAK})
    topics.create(kafka.address, topics.plan(settings))
    name = settings.name(topics.DEAD)
    pattern = ResourcePattern(ResourceType.TOPIC, name)
    rule = ACL(f"User:{WEAK}", "*", ACLOperation.WRITE, ACLPermissionType.DENY, pattern)
    everybody = ACL("User:*", "*", ACLOperation.ALL, ACLPermissionType.ALLOW, pattern)
    client = topics.admin(kafka.address)
    try:
        client.create_acls([rule, everybody])
        findings = told(settings)
    finally:
        client.delete_acls([rule, everybody])
        client.close()
    assert [one.detail for one in findings if one.level == "broken"] == [
        f"Kafka does not give our user Write on {name}"
    ]
    assert "in the clear" in findings[0].detail, "PLAIN without TLS is a warning"


async def test_the_rights_that_the_docs_give_a_worker_are_enough(kafka: SecureKafka, put: Put) -> None:
    login = {"KAFKA_USER": WEAK, "KAFKA_PASSWORD": PASSWORD, "KAFKA_SASL": "PLAIN"}
    settings = put({"KAFKA": kafka.address_of("PLAIN"), **login})
    await asyncio.to_thread(topics.create, kafka.address, topics.plan(settings))
    page = (ROOT / "docs" / "secure-servers.md").read_text()
    ((reads, writes),) = re.findall(r"^\| `mner worker` \| (.*?) \| (.*?) \|$", page, re.MULTILINE)
    given = [(topic.name, right) for topic in topics.plan(settings) for right in ("DESCRIBE", "DESCRIBE_CONFIGS")]
    for right, names in (("READ", reads), ("WRITE", writes)):
        given += [(settings.name(name), right) for name in re.findall(r"`(.*?)`", names)]
    rules = [
        ACL(
            f"User:{WEAK}", "*", ACLOperation[right], ACLPermissionType.ALLOW, ResourcePattern(ResourceType.TOPIC, name)
        )
        for name, right in given
    ]
    client = topics.admin(kafka.address)
    try:
        await asyncio.to_thread(client.create_acls, rules)
        findings = await asyncio.to_thread(told, settings)
        async with Producer(servers.kafka(settings)) as producer:
            for name in (topics.EXTRACTIONS, topics.DECISIONS, topics.DEAD):
                await producer.send(settings.name(name), b"1", None)
            with pytest.raises(Stop):
                await producer.send(settings.name(topics.TWEETS), b"1", None)
    finally:
        await asyncio.to_thread(client.delete_acls, rules)
        client.close()
    told_of = [(one.name, one.level) for one in findings]
    assert told_of == [("kafka login", "warning"), ("groups", "warning")], "no TLS, and no worker: no right is lacking"


def test_the_doctor_tells_a_token_of_the_future_and_one_that_is_no_token(kafka: SecureKafka, put: Put) -> None:
    values = {"KAFKA": kafka.address_of("TOKEN"), "KAFKA_SASL": "OAUTHBEARER"}
    findings = told(put(values | {"KAFKA_TOKEN_COMMAND": f"echo {token(begins=300)}"}))
    assert [one.name for one in findings] == ["kafka login", "clock", "kafka"]
    assert "in the future" in findings[1].detail
    assert "refuses our credentials" in findings[2].detail
    assert "clocks" in findings[2].remedy
    (*_, finding) = told(put(values | {"KAFKA_TOKEN_COMMAND": "echo opaque-token"}))
    assert "refuses our credentials" in finding.detail
    assert "opaque-token" not in finding.detail
