"""A proxy before Redis that hangs up on long commands, or whose Redis is dead."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.families.servers.listening import listening

OWN_ANSWERS = {
    b"HELLO": b"%1\r\n+proto\r\n:3\r\n",
    b"PING": b"+PONG\r\n",
    b"CLIENT": b"+OK\r\n",
    b"SELECT": b"+OK\r\n",
}
"""What a proxy answers itself, without asking Redis."""


@asynccontextmanager
async def redis_proxy(redis_port: int | None, most: int) -> AsyncIterator[str]:
    """Yields the proxy's URL. `most`: longest command, in bytes, that passes. Without a port, Redis is dead."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks: list[asyncio.Task[None]] = []
        try:
            behind: asyncio.StreamWriter | None = None
            if redis_port is not None:
                answers, behind = await asyncio.open_connection("127.0.0.1", redis_port)
                tasks.append(asyncio.create_task(copy(answers, writer)))
            while True:
                raw, name = await command(reader)
                if behind is not None and len(raw) <= most:
                    behind.write(raw)
                    await behind.drain()
                elif behind is None and name in OWN_ANSWERS:
                    writer.write(OWN_ANSWERS[name])
                    await writer.drain()
                else:
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for task in tasks:
                task.cancel()
            writer.close()

    async with listening(converse, limit=2**20) as port:
        yield f"redis://127.0.0.1:{port}/0"


async def command(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Reads one command. Returns its bytes, and its name in capitals."""
    head = await reader.readuntil(b"\n")
    parts = []
    for _ in range(int(head[1:])):
        length = await reader.readuntil(b"\n")
        parts += [length, await reader.readexactly(int(length[1:]) + 2)]
    return head + b"".join(parts), parts[1].strip().upper()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
