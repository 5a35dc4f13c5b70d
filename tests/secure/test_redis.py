"""The queue on real Redis servers with ACL users and TLS, and behind a Sentinel. For a cluster, see test_cluster."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import RedisError

from cli.doctor.checks import run_check
from cli.doctor.checks import server as check_server
from cli.doctor.finding import Finding
from core.errors import Stop
from sinks.answers.redis import code_of
from sinks.connect.redis import open_async, open_sync
from streams.settings import Settings
from tests.conftest import ROOT
from tests.secure.broker import PASSWORD, USER, WEAK
from tests.secure.certificates import Certificates, Pair
from tests.secure.conftest import Put
from tests.secure.queue_use import use
from tests.secure.redis_servers import (
    WATCHER,
    WATCHERS_PASSWORD,
    RefusingSentinel,
    SecureRedis,
    SecureSentinel,
    Sentinel,
)

pytestmark = pytest.mark.servers

LOGIN = {"REDIS_USER": USER, "REDIS_PASSWORD": PASSWORD}
WATCHERS_LOGIN = {"REDIS_SENTINEL_USER": WATCHER, "REDIS_SENTINEL_PASSWORD": WATCHERS_PASSWORD}


def found(settings: Settings) -> list[Finding]:
    return list(run_check("redis", lambda: check_server("redis", settings)))


def tls(redis: SecureRedis, certificates: Certificates) -> dict[str, str]:
    return LOGIN | {"REDIS": f"rediss://127.0.0.1:{redis.tls_port}/0", "REDIS_CA": str(certificates.ca)}


async def test_an_acl_user_with_tls(redis: SecureRedis, certificates: Certificates, put: Put) -> None:
    settings = put(tls(redis, certificates))
    await use(settings)
    findings = await asyncio.to_thread(found, settings)
    assert [(one.name, one.level) for one in findings] == [("redis", "ok"), ("queue", "ok")], findings


async def test_the_rights_that_the_docs_give_are_enough(redis: SecureRedis, put: Put) -> None:
    settings = put({"REDIS": redis.address, "REDIS_USER": "narrow", "REDIS_PASSWORD": PASSWORD})
    page = (ROOT / "docs" / "secure-servers.md").read_text()
    (rule,) = re.findall(r"ACL SETUSER reviewer on >PASSWORD (~\w.*)", page)
    rights = rule.replace("mine.", settings.prefix).split()
    with redis.client() as client:
        client.execute_command("ACL SETUSER", "narrow", "on", f">{PASSWORD}", *rights)
    await use(settings)
    findings = await asyncio.to_thread(found, settings)
    assert {one.level for one in findings} == {"ok"}, findings


async def test_a_password_from_a_file(redis: SecureRedis, put: Put, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    await use(put({"REDIS": redis.address, "REDIS_USER": USER, "REDIS_PASSWORD_FILE": str(file)}))


async def test_a_client_certificate(redis: SecureRedis, certificates: Certificates, put: Put) -> None:
    values = tls(redis, certificates)
    ours = {"REDIS_CERTIFICATE": str(certificates.client.certificate), "REDIS_KEY": str(certificates.client.key)}
    with configured(redis, {"tls-auth-clients": "yes"}):
        await use(put(values | ours))
        (refused,) = await asyncio.to_thread(found, put(values))
    assert refused.level == "broken"
    assert "MNER_REDIS_CERTIFICATE" in refused.remedy, refused


async def test_a_master_that_sentinels_name(redis: SecureRedis, redis_program: str, put: Put, tmp_path: Path) -> None:
    sentinel = Sentinel(tmp_path, redis, redis_program)
    try:
        sentinel.start()
        sentinel.ready()
        settings = put(LOGIN | {"REDIS": sentinel.address})
        await use(settings)
        assert {one.level for one in await asyncio.to_thread(found, settings)} == {"ok"}
    finally:
        sentinel.stop()


async def test_a_sentinel_that_refuses_us_stops_no_worker_while_another_answers(
    redis: SecureRedis, redis_program: str, tmp_path: Path
) -> None:
    """The Sentinel that answers knows no master of this name, as in a failover."""
    with ExitStack() as stack:
        sentinels = [kind(tmp_path / kind.__name__, redis, redis_program) for kind in (RefusingSentinel, Sentinel)]
        for sentinel in sentinels:
            stack.callback(sentinel.stop)
            sentinel.start()
            sentinel.ready()
        refusing, answering = (sentinel.address.rpartition(",")[2].partition("/")[0] for sentinel in sentinels)
        for nodes, code in ((f"{refusing},{answering}", "masterless"), (f"127.0.0.1:1,{refusing}", "sentinels")):
            url = f"redis+sentinel://{nodes}/other"
            client, close = open_async(url)
            with pytest.raises(RedisError) as failed:
                await client.ping()
            await close()
            assert code_of(failed.value)[0] == code
            with open_sync(url) as blocking, pytest.raises(RedisError) as failed:
                await asyncio.to_thread(blocking.ping)
            assert code_of(failed.value)[0] == code


@pytest.fixture(scope="module")
def secure_sentinel(
    redis: SecureRedis, redis_program: str, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecureSentinel]:
    sentinel = SecureSentinel(tmp_path_factory.mktemp("sentinel"), redis, redis_program, certificates)
    try:
        sentinel.start()
        sentinel.ready()
        yield sentinel
    finally:
        sentinel.stop()


async def test_sentinels_with_tls_and_a_login_of_their_own(
    secure_sentinel: SecureSentinel, certificates: Certificates, put: Put
) -> None:
    values = LOGIN | {"REDIS": secure_sentinel.address, "REDIS_CA": str(certificates.ca)}
    settings = put(values | WATCHERS_LOGIN)
    assert settings.redis is not None
    assert settings.redis.startswith("rediss+sentinel://")
    await use(settings)
    assert {one.level for one in await asyncio.to_thread(found, settings)} == {"ok"}
    with pytest.raises(Stop, match="the Sentinels refuse our credentials"):
        await use(put(values | WATCHERS_LOGIN | {"REDIS_SENTINEL_PASSWORD": "wrong-password"}))


@pytest.mark.parametrize(
    ("change", "says", "remedy"),
    [
        ({"REDIS_SENTINEL_PASSWORD": "wrong-password"}, "the Sentinels refuse our credentials", "SENTINEL_PASSWORD"),
        ({"REDIS_SENTINEL_USER": "nobody"}, "the Sentinels refuse our credentials", "MNER_REDIS_SENTINEL_USER"),
        ({"REDIS_SENTINEL_USER": "", "REDIS_SENTINEL_PASSWORD": ""}, "the Sentinels refuse", "SENTINEL_USER"),
        ({"REDIS_CA": "{other_ca}"}, "do not trust the certificate", "MNER_REDIS_CA"),
        ({"REDIS_PASSWORD": "wrong-password"}, "refuses our credentials", "MNER_REDIS_PASSWORD"),
    ],
)
def test_the_doctor_tells_apart_what_sentinels_refuse(
    secure_sentinel: SecureSentinel,
    certificates: Certificates,
    put: Put,
    change: dict[str, str],
    says: str,
    remedy: str,
) -> None:
    """A Sentinel that is away, the first of the URL, does not hide what another one says."""
    values = LOGIN | {"REDIS": secure_sentinel.address, "REDIS_CA": str(certificates.ca)} | WATCHERS_LOGIN | change
    (finding,) = found(put({name: value.format(other_ca=certificates.other_ca) for name, value in values.items()}))
    assert (finding.level, says in finding.detail, remedy in finding.remedy) == ("broken", True, True), finding
    assert "wrong-password" not in finding.detail
    assert WATCHERS_PASSWORD not in finding.detail


@contextmanager
def configured(redis: SecureRedis, values: dict[str, Any]) -> Iterator[None]:
    with redis.client() as client:
        before = {name: client.config_get(name)[name] for name in values}
        client.execute_command("CONFIG SET", *(word for item in values.items() for word in map(str, item)))
        try:
            yield
        finally:
            client.execute_command("CONFIG SET", *(word for item in before.items() for word in item))


@pytest.mark.parametrize(
    ("kind", "says", "remedy"),
    [
        ("expired", "has expired by our clock", "renew the certificate"),
        ("early", "not valid yet by our clock", "NTP"),
        ("other_name", "for another host name", "host name"),
        ("unknown", "do not trust the certificate", "MNER_REDIS_CA"),
    ],
)
def test_the_doctor_tells_certificates_apart(
    redis: SecureRedis, certificates: Certificates, put: Put, kind: str, says: str, remedy: str
) -> None:
    pair: Pair = getattr(certificates, kind)
    with configured(redis, {"tls-cert-file": pair.certificate, "tls-key-file": pair.key}):
        (finding,) = found(put(tls(redis, certificates)))
    assert says in finding.detail, finding
    assert remedy in finding.remedy


@pytest.mark.parametrize(
    ("change", "says", "remedy"),
    [
        ({"REDIS_PASSWORD": "wrong-password"}, "refuses our credentials", "MNER_REDIS_PASSWORD"),
        ({"REDIS_USER": "nobody"}, "refuses our credentials", "MNER_REDIS_USER"),
        ({"REDIS_USER": "", "REDIS_PASSWORD": ""}, "asks for a password", "MNER_REDIS_PASSWORD"),
        ({"REDIS": "rediss://127.0.0.1:{plain}", "REDIS_CA": ""}, "does not speak TLS", "redis://"),
        ({"REDIS": "redis://127.0.0.1:{tls}"}, "speaks TLS at this port, and we do not", "rediss://"),
        ({"REDIS_USER": WEAK}, "does not give our user the rights", "ACL SETUSER"),
    ],
)
def test_the_doctor_tells_logins_apart(
    redis: SecureRedis, put: Put, change: dict[str, str], says: str, remedy: str
) -> None:
    values = {"REDIS": redis.address} | LOGIN | change
    settings = put({name: value.format(plain=redis.port, tls=redis.tls_port) for name, value in values.items()})
    finding = next(one for one in found(settings) if one.level == "broken")
    assert says in finding.detail, finding
    assert remedy in finding.remedy
    assert PASSWORD not in finding.detail
    assert "wrong-password" not in finding.detail
