"""The doctor blames what is at fault, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from cli.doctor import elasticsearch, redis
from cli.doctor.finding import Finding
from streams.settings import Settings
from tests.families.servers.http_server import Reply, error, serving


@pytest.mark.servers
def test_a_wrong_database_is_not_told_as_a_missing_password(own_redis: str, plain: Settings) -> None:
    (finding,) = redis.check(own_redis.removesuffix("/0") + "/99", plain)
    assert finding.level == "broken"
    assert "no such database" in finding.detail
    assert "password" not in finding.detail + finding.remedy


@pytest.mark.parametrize(
    ("reply", "says", "never"),
    [
        pytest.param(Reply(401, error("security_exception")), "credentials", "", id="401"),
        pytest.param(Reply(403, error("cluster_block_exception")), "read-only", "credentials", id="read-only"),
        pytest.param(Reply(403, error("security_exception")), "rights", "credentials", id="no rights"),
        pytest.param(Reply(503, b"<h1>moving</h1>", kind="text/html"), "not available", "credentials", id="503"),
    ],
)
async def test_elasticsearch_is_told_as_it_is(reply: Reply, says: str, never: str, plain: Settings) -> None:
    async with serving(lambda _: reply) as url:
        findings: list[Finding] = await asyncio.to_thread(lambda: list(elasticsearch.check(url, plain)))
    assert says in findings[0].detail
    assert not never or never not in findings[0].detail + findings[0].remedy


@pytest.fixture
def plain() -> Settings:
    return Settings(_env_file=None)
