"""A server of files, such as images, on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def served_files(send: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    """Serves any path with `send`. Yields host and port."""
    application = web.Application()
    application.router.add_get("/{path:.*}", send)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield "{}:{}".format(*runner.addresses[0])
    finally:
        await runner.cleanup()
