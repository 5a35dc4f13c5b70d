"""A hostile server, a loader that may dial it, and a record of every address that was dialled."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.images.loader import ImageLoader
from streams.settings import Settings
from tests.images.hostile import HostileServer, hostile_server


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
