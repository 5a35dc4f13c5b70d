"""A hostile server, a loader that may dial it, and a record of every address that was dialled."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from streams.images.cache import ImageCache
from streams.images.loader import ImageLoader
from streams.settings import Settings
from tests.streams.images.caches import Make
from tests.streams.images.clock import Clock
from tests.streams.images.hostile import HostileServer, hostile_server, reply
from tests.streams.images.measured import COSTS, table
from tests.streams.images.pictures import encoded, half_and_half


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every request of a test reaches the server, unless the test asks for a cache; that one is the test's own."""
    monkeypatch.setenv("MNER_HOME", str(tmp_path))
    monkeypatch.setenv("MNER_IMAGE_CACHE_MB", "0")


@pytest.fixture
async def server() -> AsyncIterator[HostileServer]:
    async with hostile_server() as hostile:
        yield hostile


@pytest.fixture
def settings(server: HostileServer) -> Callable[..., Settings]:
    """Settings under which the hostile server, and nothing else that is private, may be dialled."""

    def make(**overrides: Any) -> Settings:
        return Settings(**{"image_allow": (server.address,), "image_timeout_s": 5, **overrides})

    return make


@pytest.fixture
async def loader(settings: Callable[..., Settings]) -> AsyncIterator[ImageLoader]:
    async with ImageLoader(settings()) as loader:
        yield loader


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of the cache's file."""
    return tmp_path / "cache" / "images.sqlite3"


@pytest.fixture
async def make(clock: Clock, tmp_path: Path) -> AsyncIterator[Make]:
    """Caches on this test's file, closed at its end."""
    made: list[ImageCache] = []

    def make_one(**settings: Any) -> ImageCache:
        made.append(ImageCache(Settings(**{"home": tmp_path, "image_cache_mb": 1, **settings}), clock))
        return made[-1]

    yield make_one
    for one in made:
        with suppress(RuntimeError):  # the test has closed it
            await one.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def corpus(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[ImageLoader, HostileServer]]:
    """One loader for all attacks of a module, as in a worker, and their server. `/honest` is a picture.

    The module's LIMITS are settings of that loader.
    """
    async with hostile_server() as hostile:
        hostile.answers["/honest"] = reply(encoded(half_and_half(), "PNG"))
        settings = Settings(
            home=tmp_path_factory.mktemp("corpus"),
            image_allow=(hostile.address,),
            image_decoders=1,
            image_cache_mb=0,
            image_tries=1,
            image_break_after=1_000_000,
            **request.module.LIMITS,
        )
        async with ImageLoader(settings) as loader:
            yield loader, hostile


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if COSTS:
        terminalreporter.section(f"{len(COSTS)} attacks on the image loader")
        for line in table():
            terminalreporter.write_line(line)


_dialled: list[Any] | None = None


def _record(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _dialled is not None and arguments[0].type == socket.SOCK_STREAM:
        _dialled.append(arguments[1][0])


sys.addaudithook(_record)  # below every library: no connection of this process escapes it


@pytest.fixture
def dialled() -> Iterator[list[str]]:
    """The hosts that this process connected to during the test."""
    global _dialled  # noqa: PLW0603 (an audit hook cannot be removed, only told where to write)
    _dialled = []
    yield _dialled
    _dialled = None
