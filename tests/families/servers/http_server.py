"""A local HTTP server that gives prepared answers, for states that a test cannot put Elasticsearch into."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from tests.families.servers.listening import listening


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: bytes


@dataclass
class Reply:
    """One answer. `ours`: whether it carries Elasticsearch's header. `cut`: bytes of the body that are not sent."""

    status: int = 200
    body: bytes = b""
    ours: bool = True
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0

    def encode(self) -> bytes:
        phrase = HTTPStatus(self.status).phrase if self.status in set(HTTPStatus) else "Odd"
        lines = [f"HTTP/1.1 {self.status} {phrase}", f"Content-Length: {len(self.body)}", "Connection: close"]
        lines += ["X-Elastic-Product: Elasticsearch"] * self.ours
        lines += [f"Content-Type: {self.kind}"] * bool(self.kind)
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body[: len(self.body) - self.cut]


Answerer = Callable[[Request], Reply | None]
"""Returns the answer to a request. None closes the connection without an answer."""


@asynccontextmanager
async def serving(answer: Answerer, *, early: bool = False) -> AsyncIterator[str]:
    """Runs a server on a free port and yields its URL. `early`: it answers before it has read the body."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, path, _ = head.split(" ", 2)
            sizes = [line.split(":")[1] for line in head.split("\r\n") if line.lower().startswith("content-length")]
            body = await reader.readexactly(int(sizes[0])) if sizes and not early else b""
            reply = answer(Request(method, path, body))
            if reply is not None:
                writer.write(reply.encode())
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with listening(converse) as port:
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def http_proxy(host: str, port: int, most: int) -> AsyncIterator[str]:
    """Runs a proxy before a server, and yields its URL. It hangs up on a body of more than `most` bytes."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            sizes = [
                int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
            ]
            body = await reader.readexactly(sum(sizes))
            if len(body) <= most:
                answers, behind = await asyncio.open_connection(host, port)
                behind.write(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body)
                writer.write(await answers.read())
                await writer.drain()
                behind.close()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with listening(converse) as own:
        yield f"http://127.0.0.1:{own}"


def error(kind: str, reason: str = "because") -> bytes:
    """Returns the body of an error as Elasticsearch writes it."""
    return json.dumps({"error": {"root_cause": [], "type": kind, "reason": reason}, "status": 400}).encode()


def bulk_done(request: Request) -> Reply:
    """Answers a bulk request as Elasticsearch does when it has written everything."""
    item: dict[str, object] = {"index": {"status": 201}}
    if request.body.startswith(b'{"update"'):  # of a document that does not exist
        item = {"update": {"status": 404, "error": {"type": "document_missing_exception", "reason": "because"}}}
    count = request.body.count(b"\n") // 2
    return Reply(body=json.dumps({"errors": False, "items": [item] * count}).encode())
