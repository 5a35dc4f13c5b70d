"""A server that answers with any bytes that a test chooses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]] | bytes
"""The response: bytes, or a function that writes them."""


@dataclass
class HostileServer:
    """Serves each path from `answers`. `requests` holds the heads of the requests."""

    host: str
    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    #: The running handlers and their connections.
    open: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.open[task] = writer
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head)
            answer = self.answers.get(head.split(" ")[1], reply(b"", status="404 Not Found"))
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)
        writer.close()

    async def close(self) -> None:
        """Ends all handlers and connections, so that none is left to the garbage collector."""
        for task in self.open:
            task.cancel()
        await asyncio.gather(*self.open, return_exceptions=True)
        for writer in self.open.values():
            writer.transport.abort()
        await asyncio.sleep(0)


@asynccontextmanager
async def hostile_server(host: str = "127.0.0.1") -> AsyncIterator[HostileServer]:
    """Listens on a free port."""
    hostile = HostileServer(host)
    listening = await asyncio.start_server(hostile.handle, host, 0)
    hostile.port = listening.sockets[0].getsockname()[1]
    try:
        yield hostile
    finally:
        listening.close()
        await hostile.close()


@dataclass
class Clock:
    """A clock that a test moves. `sleep` returns at once and moves the clock."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


async def silence(writer: asyncio.StreamWriter) -> None:
    """Sends nothing until the server is closed."""
    await asyncio.Event().wait()


def forever(head: bytes, piece: bytes, pause_s: float = 0.0) -> Answer:
    """Sends `head`, then `piece` for ever."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return answer


def reply(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """Returns an HTTP response. `length` replaces the true Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
