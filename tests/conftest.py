"""Fixtures for every test: real servers, settings that point at them, and the published data sets."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from local.stack import NAMES, Stack
from streams.settings import Settings
from tests.shared_servers import shared_servers
from tests.waiting import LoopClock

# A machine with other work is no fault of the code. The same examples come in every run, so that a change is not blamed
# for what another run would have found. `python -m tests.fuzz` looks for new ones.
hypothesis_settings.register_profile(
    "repeatable", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("repeatable")

ROOT = Path(__file__).resolve().parent.parent
GIVEN = {name: os.environ.get(f"MNER_{name.upper()}", "") for name in NAMES}
"""Addresses from the environment. When all three are set, the tests use these servers in place of local ones."""
MARKS = {"servers": "servers", "stubbed": "servers", "own_servers": "servers", "data_sets": "data"}
"""Fixture -> marker of every test that uses it, directly or through other fixtures."""
SLOWEST = ("own_servers", "stubbed", "servers")
"""Fixtures whose files take long, the longest first."""

_run, _counter, _shared = secrets.token_hex(3), itertools.count(1), ExitStack()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that need servers or data sets, so that `-m "not servers and not data"` leaves the unit tests.

    The files that wait for servers come first. So no core is idle at the end, while one long file still waits.
    """
    for item in items:
        if isinstance(item, pytest.Function):
            for fixture in MARKS.keys() & set(item.fixturenames):
                item.add_marker(MARKS[fixture])
    slow = [{item.path for item in items if fixture in getattr(item, "fixturenames", ())} for fixture in SLOWEST]
    items.sort(key=lambda item: [item.path not in files for files in slow])


@dataclass(frozen=True)
class Given:
    """Servers that run before the tests and keep running after them."""

    addresses: dict[str, str]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Given:
    """Kafka, Elasticsearch and Redis, shared by all tests of all processes of this run."""
    run = tmp_path_factory.getbasetemp()
    home = (run.parent if "PYTEST_XDIST_WORKER" in os.environ else run) / "servers"
    return Given(GIVEN if all(GIVEN.values()) else _shared.enter_context(shared_servers(home)))


def pytest_sessionfinish() -> None:
    """Leaves the shared servers. No test is timed while it waits for the other processes."""
    _shared.close()


@pytest.fixture(scope="module")
def own_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Servers of one test module, which may stop, kill and restart them."""
    if all(GIVEN.values()):
        pytest.skip("this test stops servers, and MNER_KAFKA, MNER_ELASTICSEARCH and MNER_REDIS name external ones")
    with Stack(tmp_path_factory.mktemp("own")) as stack:
        yield stack


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis of one test module, which may change its settings and count its commands."""
    with Stack(tmp_path_factory.mktemp("redis"), ["redis"]) as stack:
        yield stack.addresses["redis"]


def settings_for(addresses: dict[str, str], home: Path) -> Settings:
    """Returns settings with a prefix that no other test has, so that tests share nothing but the servers."""
    return Settings(_env_file=None, prefix=f"t{_run}-{next(_counter)}.", home=home, **addresses)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def _elasticsearch(servers: Given) -> Iterator[Elasticsearch]:
    with Elasticsearch(servers.addresses["elasticsearch"]) as client:
        yield client.options(ignore_status=404)


@pytest.fixture
def settings(servers: Given, _elasticsearch: Elasticsearch, tmp_path: Path) -> Iterator[Settings]:
    """Settings of one test on the shared servers. Its indexes go afterwards, since a server holds only 1,000."""
    made = settings_for(servers.addresses, tmp_path)
    yield made
    if names := list(_elasticsearch.indices.get_alias(index=f"{made.prefix}*", expand_wildcards="all")):
        _elasticsearch.indices.delete(index=names)
    _elasticsearch.indices.delete_index_template(name=f"{made.prefix}*")


@pytest.fixture(scope="session")
def data_sets() -> Path:
    """The folder of published data sets."""
    folder = Path(os.environ.get("MNER_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"{folder} has no data sets; set MNER_DATA to their folder")
    return folder


@pytest.fixture
async def loop_clock(monkeypatch: pytest.MonkeyPatch) -> LoopClock:
    """The clock of this test's event loop."""
    loop = asyncio.get_running_loop()
    clock = LoopClock(loop.time)
    monkeypatch.setattr(loop, "time", clock)
    return clock
