"""Servers behind TLS and passwords, once for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka.admin import UserScramCredentialUpsertion

from streams import topics
from streams.settings import Settings, load
from tests.conftest import settings_for
from tests.secure.broker import PASSWORD, USER, SecureKafka
from tests.secure.certificates import Certificates
from tests.secure.redis_servers import SecureRedis, executable


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def kafka(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    server = SecureKafka(tmp_path_factory.mktemp("kafka"), certificates)
    try:
        server.start()
        server.ready()
        client = topics.admin(server.address)
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):  # the broker takes one change of a user at a time
            made = client.alter_user_scram_credentials([UserScramCredentialUpsertion(USER, mechanism, PASSWORD)])
            assert made == {USER: None}
        client.close()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def redis_program() -> str:
    """A Redis with TLS. Without one, the test is skipped, but never in CI."""
    program = executable()
    if program is not None:
        return program
    missing = "no redis-server with TLS was found: install Debian's package redis-server"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def redis(
    certificates: Certificates, redis_program: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecureRedis]:
    server = SecureRedis(tmp_path_factory.mktemp("redis"), certificates, redis_program)
    try:
        server.start()
        server.ready()
        yield server
    finally:
        server.stop()


Put = Callable[[dict[str, str]], Settings]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Sets variables, which are named without `MNER_`, as the only ones. Returns the settings of this environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "1000")  # no line break inside a secret that a table may show
    prefix = settings_for({}, tmp_path).prefix

    def set_all(values: dict[str, str]) -> Settings:
        for name in [name for name in os.environ if name.startswith("MNER_")]:
            monkeypatch.delenv(name)
        for name, value in ({"PREFIX": prefix, "HOME": str(tmp_path / "home")} | values).items():
            monkeypatch.setenv(f"MNER_{name}", value)
        return load()

    return set_all
