"""Runs the cases of a table side by side. Each has topics and workers of its own, and mostly waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from local.stack import Stack
from streams import topics
from streams.settings import Settings
from tests.conftest import Given, settings_for
from tests.streams.conftest import Start, started

AT_ONCE = 5
QUICK = "tests.families.kafka.quick_worker"


class Named(Protocol):
    @property
    def id(self) -> str: ...


CaseT = TypeVar("CaseT", bound=Named)


@dataclass(frozen=True)
class Scenario:
    """A case that has steps of its own."""

    play: Callable[[Settings, Start], Coroutine[Any, Any, None]]

    @property
    def id(self) -> str:
        return self.play.__name__.replace("_", " ")


async def play(settings: Settings, start: Start, scenario: Scenario) -> None:
    await scenario.play(settings, start)


def bare_settings(servers: Stack | Given, home: Path) -> Settings:
    """Returns settings of one case with the stub model. Its topics do not exist."""
    return settings_for(servers.addresses, home).changed(
        model_factory="tests.streams.stub_model:load", batch={"tweets": 32}, model_timeout_s=5.0, threshold=0.5
    )


def with_topics(settings: Settings) -> Settings:
    assert settings.kafka is not None
    topics.create(settings.kafka, topics.plan(settings))
    return settings


def side_by_side(
    scenario: Callable[[Settings, Start, CaseT], Coroutine[Any, Any, None]], cases: Sequence[CaseT], fixture: str
) -> Any:
    """Returns a fixture, to be assigned to the name `fixture`. It is a function that waits for a case, and raises what
    the scenario raised.

    The test that uses it has the parameter `case`. Cases that are not selected do not run.
    """

    @pytest.fixture(scope="module", name=fixture)
    def finished(
        request: pytest.FixtureRequest, servers: Stack | Given, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Callable[[CaseT], None]]:
        def run(case: CaseT, folder: Path) -> None:
            with started(folder, QUICK) as start:
                asyncio.run(scenario(with_topics(bare_settings(servers, folder)), start, case))

        wanted: list[Any] = [
            item.callspec.params["case"]
            for item in request.session.items
            if isinstance(item, pytest.Function) and item.path == request.path and fixture in item.fixturenames
        ]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            futures = {
                case.id: pool.submit(run, case, tmp_path_factory.mktemp("case")) for case in cases if case in wanted
            }
            yield lambda case: futures[case.id].result()
            pool.shutdown(cancel_futures=True)

    return finished
