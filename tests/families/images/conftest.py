"""One server and one loader for all cases of this family."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from streams.images.hosts import FailurePolicy
from streams.images.loader import ImageLoader
from streams.settings import ImageLimits
from tests.streams.images.hostile import HostileServer, hostile_server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncIterator[tuple[ImageLoader, HostileServer]]:
    """A loader with the limits of a worker, which may connect to the server."""
    async with hostile_server() as server:
        limits = ImageLimits(allow=(server.address,), decoders=1)
        async with ImageLoader(limits, failures=FailurePolicy(tries=1, break_after=1_000_000)) as loader:
            yield loader, server
