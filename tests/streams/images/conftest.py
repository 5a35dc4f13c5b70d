"""A hostile server, a loader that may connect to it, and a record of every connection."""

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
from streams.images.hosts import FailurePolicy
from streams.images.loader import ImageLoader
from streams.settings import ImageLimits
from tests.streams.images.caches import Make
from tests.streams.images.clock import Clock
from tests.streams.images.hostile import HostileServer, hostile_server, reply
from tests.streams.images.measured import COSTS, table
from tests.streams.images.sample_images import encoded, half_and_half


@pytest.fixture
async def server() -> AsyncIterator[HostileServer]:
    async with hostile_server() as hostile:
        yield hostile


@pytest.fixture
def limits(server: HostileServer) -> Callable[..., ImageLimits]:
    """Limits that allow the address of the hostile server, and no other private address."""

    def make(**overrides: Any) -> ImageLimits:
        return ImageLimits(**{"allow": (server.address,), "timeout_s": 5, **overrides})

    return make


@pytest.fixture
async def loader(limits: Callable[..., ImageLimits]) -> AsyncIterator[ImageLoader]:
    async with ImageLoader(limits()) as loader:
        yield loader


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Path of the cache's file."""
    return tmp_path / "cache" / "images.sqlite3"


@pytest.fixture
async def make(clock: Clock, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes caches on this test's file, and closes them at the end."""
    made: list[ImageCache] = []

    def make_one(home: Path = tmp_path, **limits: Any) -> ImageCache:
        made.append(ImageCache(ImageLimits(**{"cache_mb": 1, **limits}), home, clock))
        return made[-1]

    yield make_one
    for cache in made:
        with suppress(RuntimeError):  # the test has closed it
            await cache.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def corpus(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[ImageLoader, HostileServer]]:
    """One loader and one server for all attacks of a module. `/honest` serves a good image.

    The module's LIMITS are the loader's limits.
    """
    async with hostile_server() as hostile:
        hostile.answers["/honest"] = reply(encoded(half_and_half(), "PNG"))
        limits = ImageLimits(
            allow=(hostile.address,),
            decoders=1,
            **request.module.LIMITS,
        )
        async with ImageLoader(limits, failures=FailurePolicy(tries=1, break_after=1_000_000)) as loader:
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


sys.addaudithook(_record)  # below every library, so that it records every connection of this process


@pytest.fixture
def dialled() -> Iterator[list[str]]:
    """The hosts that this process connected to during the test."""
    global _dialled  # noqa: PLW0603 (an audit hook cannot be removed, only redirected)
    _dialled = []
    yield _dialled
    _dialled = None
