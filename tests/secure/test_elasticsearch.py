"""The index on a real Elasticsearch behind TLS that checks who asks: API key, password, several nodes, Cloud ID."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from cli.doctor.checks import run_check
from cli.doctor.checks import server as check_server
from cli.doctor.finding import Finding
from local.server import free_ports
from local.stack import Stack
from sinks.index.index import Index
from streams import servers as known
from streams.settings import Settings
from tests.secure import proxy
from tests.secure.broker import PASSWORD, USER
from tests.secure.certificates import Certificates
from tests.secure.conftest import Put

pytestmark = pytest.mark.servers

WRONG_KEY = "d3Jvbmc6d3Jvbmctd3Jvbmc="
API_KEY = {"ELASTICSEARCH_API_KEY": proxy.API_KEY}
BASIC = {"ELASTICSEARCH_USER": USER, "ELASTICSEARCH_PASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def port(servers: Stack, certificates: Certificates) -> Iterator[int]:
    with proxy.serving(servers.addresses["elasticsearch"], certificates.good) as (port, _):
        yield port


async def use(settings: Settings) -> None:
    index = Index(known.elasticsearch(settings), settings.name("mentions"))
    try:
        await index.prepare()
        await index.refresh()
        assert await index.count() == 0
    finally:
        await index.close()


def found(settings: Settings) -> list[Finding]:
    return list(run_check("elasticsearch", lambda: check_server("elasticsearch", settings)))


@pytest.mark.parametrize("login", [API_KEY, BASIC], ids=["api key", "password"])
async def test_a_login(port: int, certificates: Certificates, put: Put, login: dict[str, str]) -> None:
    settings = put({"ELASTICSEARCH": f"https://localhost:{port}", "ELASTICSEARCH_CA": str(certificates.ca)} | login)
    await use(settings)
    assert not [one for one in await asyncio.to_thread(found, settings) if one.level == "broken"]


async def test_a_dead_node_among_several(port: int, certificates: Certificates, put: Put) -> None:
    dead = free_ports(2)
    urls = ",".join(f"https://127.0.0.1:{number}" for number in (dead[0], port, dead[1]))
    settings = put({"ELASTICSEARCH": urls, "ELASTICSEARCH_CA": str(certificates.ca)} | API_KEY)
    for _ in range(3):
        await use(settings)
    findings = await asyncio.to_thread(found, settings)
    assert not [one for one in findings if one.level == "broken"], findings


async def test_a_cloud_id(
    servers: Stack, certificates: Certificates, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host in the ID leads to this machine, as if a name server said so."""
    look_up = socket.getaddrinfo

    def local(host: Any, *rest: Any, **options: Any) -> Any:
        return look_up("127.0.0.1" if host == "elsewhere.example" else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", local)
    with proxy.serving(servers.addresses["elasticsearch"], certificates.other_name) as (port, _):
        encoded = base64.b64encode(f"example:{port}$elsewhere$kibana".encode()).decode()
        settings = put(
            {"ELASTICSEARCH_CLOUD_ID": f"mine:{encoded}", "ELASTICSEARCH_CA": str(certificates.ca)} | API_KEY
        )
        await use(settings)
        findings = await asyncio.to_thread(found, settings)
    assert f"https://elsewhere.example:{port}" in findings[0].detail
    assert not [one for one in findings if one.level == "broken"]


async def test_a_client_certificate(servers: Stack, certificates: Certificates, put: Put) -> None:
    ours = {
        "ELASTICSEARCH_CERTIFICATE": str(certificates.client.certificate),
        "ELASTICSEARCH_KEY": str(certificates.client.key),
    }
    target = servers.addresses["elasticsearch"]
    with proxy.serving(target, certificates.good, ca=certificates.ca) as (port, _):
        values = {"ELASTICSEARCH": f"https://localhost:{port}", "ELASTICSEARCH_CA": str(certificates.ca)} | API_KEY
        await use(put(values | ours))
        (finding,) = await asyncio.to_thread(found, put(values))
    assert "MNER_ELASTICSEARCH_CERTIFICATE" in finding.remedy, finding


@pytest.mark.parametrize(
    ("kind", "says", "remedy"),
    [
        ("expired", "has expired by our clock", "renew the certificate"),
        ("early", "not valid yet by our clock", "NTP"),
        ("other_name", "for another host name", "host name"),
        ("unknown", "do not trust the certificate", "MNER_ELASTICSEARCH_CA"),
    ],
)
def test_the_doctor_tells_certificates_apart(
    certificates: Certificates, put: Put, kind: str, says: str, remedy: str
) -> None:
    with proxy.serving("http://127.0.0.1:1", getattr(certificates, kind)) as (port, _):
        values = {"ELASTICSEARCH": f"https://127.0.0.1:{port}", "ELASTICSEARCH_CA": str(certificates.ca)}
        (finding,) = found(put(values | API_KEY))
    assert says in finding.detail, finding
    assert remedy in finding.remedy


@pytest.mark.parametrize(
    ("change", "says", "remedy"),
    [
        (
            {"ELASTICSEARCH_API_KEY": WRONG_KEY},
            "refuses our credentials",
            "MNER_ELASTICSEARCH_API_KEY",
        ),
        (
            BASIC | {"ELASTICSEARCH_PASSWORD": "wrong-word"},
            "refuses our credentials",
            "MNER_ELASTICSEARCH_USER and _PASSWORD",
        ),
        (BASIC | {"ELASTICSEARCH_USER": "nobody"}, "refuses our credentials", "MNER_ELASTICSEARCH_USER"),
        ({"ELASTICSEARCH_API_KEY": proxy.WEAK_KEY}, "forbids the request", "the right `monitor`"),
        ({"ELASTICSEARCH": "http://127.0.0.1:{port}", "ELASTICSEARCH_CA": ""}, "speaks TLS at this port", "https://"),
        ({"ELASTICSEARCH": "https://127.0.0.1:{plain}"}, "does not speak TLS", "http://"),
    ],
)
def test_the_doctor_tells_logins_apart(
    servers: Stack, port: int, certificates: Certificates, put: Put, change: dict[str, str], says: str, remedy: str
) -> None:
    plain = servers.addresses["elasticsearch"].rpartition(":")[2]
    login = {} if "ELASTICSEARCH_PASSWORD" in change else API_KEY
    values = {"ELASTICSEARCH": "https://127.0.0.1:{port}", "ELASTICSEARCH_CA": str(certificates.ca)} | login | change
    findings = found(put({name: value.format(port=port, plain=plain) for name, value in values.items()}))
    finding = next(one for one in findings if one.level == "broken")
    assert says in finding.detail, finding
    assert remedy in finding.remedy
    assert not any(
        secret in one.detail for one in findings for secret in (proxy.API_KEY, proxy.WEAK_KEY, "d3Jvbmc6", "wrong-word")
    )
