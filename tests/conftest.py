"""Fixtures that every test may use: the real servers, settings that point at them, the published data sets."""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.stack import NAMES, Stack
from streams.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
GIVEN = {name: os.environ.get(f"MNER_{name.upper()}", "") for name in NAMES}
"""Servers of one's own, used instead of local ones when all three are named."""

_run, _counter = secrets.token_hex(3), itertools.count(1)


@dataclass(frozen=True)
class Given:
    """Servers that were there before the tests and stay after them."""

    addresses: dict[str, str]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack | Given]:
    """Kafka, Elasticsearch and Redis, shared by all tests: only their `addresses` are to be used."""
    if all(GIVEN.values()):
        yield Given(GIVEN)
        return
    with Stack(tmp_path_factory.mktemp("servers")) as stack:
        yield stack


@pytest.fixture(scope="module")
def own_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Servers of this test module alone, which it may stop, kill and start again."""
    if all(GIVEN.values()):
        pytest.skip("stops servers, and MNER_KAFKA, MNER_ELASTICSEARCH and MNER_REDIS name servers that are not ours")
    with Stack(tmp_path_factory.mktemp("own")) as stack:
        yield stack


def settings_for(addresses: dict[str, str], home: Path) -> Settings:
    """Settings with a prefix that no other test has, so that tests share servers and nothing else."""
    return Settings(_env_file=None, prefix=f"t{_run}-{next(_counter)}.", home=home, **addresses)  # type: ignore[arg-type]


@pytest.fixture
def settings(servers: Stack | Given, tmp_path: Path) -> Settings:
    """Settings of one test on the shared servers."""
    return settings_for(servers.addresses, tmp_path)


@pytest.fixture(scope="session")
def data_sets() -> Path:
    """The folder of published data sets."""
    folder = Path(os.environ.get("MNER_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no data sets in {folder}: set MNER_DATA to their folder")
    return folder
