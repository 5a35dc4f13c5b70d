"""A server on a free port, whose conversations end when the block ends."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Converse = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(
    converse: Converse, *, context: ssl.SSLContext | None = None, limit: int = 2**16
) -> AsyncIterator[int]:
    """Yields the port. From Python 3.12 on, a server that is closed waits for its conversations, so these are ended."""
    conversations: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversations.add(task)
        try:
            await converse(reader, writer)
        finally:
            conversations.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context, limit=limit)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        ended = [*conversations]
        for conversation in ended:
            conversation.cancel()
        await asyncio.gather(*ended, return_exceptions=True)
