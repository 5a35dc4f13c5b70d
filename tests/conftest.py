"""Fixtures for every test: real servers, settings that point at them, and the published data sets."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from local.stack import NAMES, Stack
from streams.settings import Settings
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
MARKS = {"servers": "servers", "own_servers": "servers", "data_sets": "data"}
"""Fixture -> marker of every test that uses it, directly or through other fixtures."""

_run, _counter = secrets.token_hex(3), itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that need servers or data sets, so that `-m "not servers and not data"` leaves the unit tests."""
    for item in items:
        if isinstance(item, pytest.Function):
            for fixture in MARKS.keys() & set(item.fixturenames):
                item.add_marker(MARKS[fixture])


@dataclass(frozen=True)
class Given:
    """Servers that run before the tests and keep running after them."""

    addresses: dict[str, str]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack | Given]:
    """Kafka, Elasticsearch and Redis, shared by all tests. A test uses their `addresses` and nothing else."""
    if all(GIVEN.values()):
        yield Given(GIVEN)
        return
    with Stack(tmp_path_factory.mktemp("servers")) as stack:
        yield stack


@pytest.fixture(scope="module")
def own_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Servers of one test module, which may stop, kill and restart them."""
    if all(GIVEN.values()):
        pytest.skip("this test stops servers, and MNER_KAFKA, MNER_ELASTICSEARCH and MNER_REDIS name external ones")
    with Stack(tmp_path_factory.mktemp("own")) as stack:
        yield stack


def settings_for(addresses: dict[str, str], home: Path) -> Settings:
    """Returns settings with a prefix that no other test has, so that tests share nothing but the servers."""
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
        pytest.skip(f"{folder} has no data sets; set MNER_DATA to their folder")
    return folder


@pytest.fixture
async def loop_clock(monkeypatch: pytest.MonkeyPatch) -> LoopClock:
    """The clock of this test's event loop."""
    loop = asyncio.get_running_loop()
    clock = LoopClock(loop.time)
    monkeypatch.setattr(loop, "time", clock)
    return clock
