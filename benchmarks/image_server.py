"""A web of a hundred hosts in one process: loopback addresses of their own, every answer held back by the latency.

As cheap as asyncio allows, since it shares the cores with whoever is measured. Linux alone gives the whole of 127/8.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

from benchmarks.photographs import Kind, photographs
from core.errors import UserError

LATENCY_S = 0.05
"""Between a request and the first byte of its answer; connecting costs nothing here."""

HOSTS = tuple(f"127.0.1.{number}" for number in range(1, 101))
PICTURES = 120
"""Different pictures of each kind. Every URL has bytes of its own all the same: its number stands in a comment."""

JFIF = 20
"""Bytes of the start and the header that Pillow writes: img2dataset looks for it at its place."""

BACKLOG = 1024
SEND_BUFFER = 262_144
"""Bytes: an answer leaves in one system call."""

START_S = 120.0


@dataclass
class Served:
    """Since the last reset. `first_at`: unix seconds of the first request. `cpu_s`: of this process in all."""

    requests: int = 0
    connections: int = 0
    unknown: int = 0
    first_at: float = 0.0
    cpu_s: float = field(default_factory=time.process_time)


class ImageServer:
    """Runs in a process of its own while the context is open."""

    def __init__(self, kinds: Sequence[Kind], pictures: int = PICTURES) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_main, args=(theirs, tuple(kinds), pictures), daemon=True)
        self._theirs = theirs
        self._given = 0

    def __enter__(self) -> Self:
        """Pictures are made first, some seconds. Raises `UserError` where the addresses cannot be had."""
        self._process.start()
        self._theirs.close()
        answer = self._pipe.recv() if self._pipe.poll(START_S) else "did not come up"
        if not isinstance(answer, int):
            self.__exit__(None, None, None)
            raise UserError(f"the image server at {HOSTS[0]} to {HOSTS[-1]} (Linux has these): {answer}")
        self.port = answer
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    @property
    def addresses(self) -> list[str]:
        """`host:port` of every host."""
        return [f"{host}:{self.port}" for host in HOSTS]

    def urls(self, count: int, kind: Kind) -> list[str]:
        """Host after host. No URL is given twice."""
        numbers = range(self._given, self._given + count)
        self._given += count
        return [f"http://{HOSTS[number % len(HOSTS)]}:{self.port}/{kind}/{number}.jpg" for number in numbers]

    def served(self) -> Served:
        return self._ask("served")

    def reset(self) -> None:
        self._ask("reset")

    def _ask(self, what: str) -> Served:
        self._pipe.send(what)
        answer: Served = self._pipe.recv()
        return answer


class _Site:
    """What every connection of the server's process shares."""

    def __init__(self, pictures: dict[bytes, list[bytes]]) -> None:
        self.pictures = pictures
        self.served = Served()

    def answer(self, path: bytes) -> bytes:
        """To `/kind/number.jpg`: a picture with its number in a comment (ISO 10918-1 B.2.4.5) after the JFIF header."""
        _, kind, name = path.split(b"/")
        pictures, number = self.pictures[kind], name.removesuffix(b".jpg")
        comment = b"\xff\xfe\x00\x16" + number.zfill(20)
        picture = pictures[int(number) % len(pictures)]
        head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
        return b"".join((head % (len(picture) + len(comment)), picture[:JFIF], comment, picture[JFIF:]))


class _Connection(asyncio.Protocol):
    def __init__(self, site: _Site) -> None:
        self._site = site
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._site.served.connections += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            served = self._site.served
            served.first_at = served.first_at or time.time()
            asyncio.get_running_loop().call_later(LATENCY_S, self._answer, head)

    def _answer(self, head: bytes) -> None:
        served = self._site.served
        try:
            answer = self._site.answer(head.split(b" ", 2)[1])
        except (KeyError, ValueError):
            served.unknown += 1
            answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        served.requests += 1
        self._transport.write(answer)
        if b"connection: close" in head.lower():
            self._transport.close()


def _main(pipe: Connection, kinds: tuple[Kind, ...], pictures: int) -> None:
    """The server's process, until the pipe is closed."""
    try:
        sockets = _listen()
    except OSError as error:
        pipe.send(str(error))
        return
    site = _Site({kind.encode(): list(photographs(pictures, kind)) for kind in kinds})
    pipe.send(sockets[0].getsockname()[1])
    asyncio.run(_serve(site, sockets, pipe))


def _listen() -> list[socket.socket]:
    """One port on every address. Raises `OSError`."""
    sockets: list[socket.socket] = []
    port = 0
    for host in HOSTS:
        listener = socket.create_server((host, port), backlog=BACKLOG)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        port = listener.getsockname()[1]
        sockets.append(listener)
    return sockets


async def _serve(site: _Site, sockets: list[socket.socket], pipe: Connection) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def command() -> None:
        try:
            what = pipe.recv()
        except EOFError:
            loop.remove_reader(pipe.fileno())
            ended.set()
            return
        if what == "reset":
            site.served = Served()
        site.served.cpu_s = time.process_time()
        pipe.send(site.served)

    for listener in sockets:
        await loop.create_server(lambda: _Connection(site), sock=listener)
    loop.add_reader(pipe.fileno(), command)
    await ended.wait()
