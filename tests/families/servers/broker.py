"""A local server that speaks enough of Kafka's protocol to refuse records with any error code.

It has one topic with one partition. The clients under test are the real ones. The versions of the requests are the
oldest that both clients still speak (https://kafka.apache.org/protocol.html).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.families.servers.listening import listening

PRODUCE, METADATA, VERSIONS, PRODUCER_ID = 0, 3, 18, 22
SPOKEN = {PRODUCE: (3, 3), METADATA: (1, 4), VERSIONS: (0, 0), PRODUCER_ID: (0, 0)}
UNSUPPORTED_VERSION = 35


@dataclass
class Broker:
    """`codes`: the error codes of the next produce requests. Afterwards the last one is repeated.

    With `harmful`, only requests that contain these bytes are refused.
    """

    topic: str
    codes: list[int]
    harmful: bytes = b""
    port: int = 0
    produced: list[int] = field(default_factory=list)
    """Codes that were sent."""
    sessions: int = 0
    """Producers that asked for an id."""

    def answer(self, key: int, version: int, body: bytes) -> bytes:
        if key == VERSIONS:
            entries = b"".join(struct.pack(">hhh", kind, *spoken) for kind, spoken in SPOKEN.items())
            return struct.pack(">hi", UNSUPPORTED_VERSION if version else 0, len(SPOKEN)) + entries
        if key == METADATA:
            return self._metadata(version)
        if key == PRODUCER_ID:
            self.sessions += 1
            return struct.pack(">ihqh", 0, 0, self.sessions, 0)
        code = 0
        if self.harmful in body:
            code = self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]
        self.produced.append(code)
        return _list(_text(self.topic) + _list(struct.pack(">ihqq", 0, code, len(self.produced), -1))) + bytes(4)

    def _metadata(self, version: int) -> bytes:
        broker = struct.pack(">i", 1) + _text("127.0.0.1") + struct.pack(">ih", self.port, -1)
        nodes = struct.pack(">ii", 1, 1)
        partition = struct.pack(">hii", 0, 0, 1) + nodes + nodes
        topic = struct.pack(">h", 0) + _text(self.topic) + b"\0" + _list(partition)
        throttled = bytes(4) if version >= 3 else b""
        cluster = _text("local") if version >= 2 else b""
        return throttled + _list(broker) + cluster + struct.pack(">i", 1) + _list(topic)


@asynccontextmanager
async def brokering(topic: str, *codes: int, harmful: bytes = b"") -> AsyncIterator[Broker]:
    """Runs a broker that answers produce requests with these codes, in order. 0 means that it took the record."""
    broker = Broker(topic, list(codes), harmful)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                request = await reader.readexactly(size)
                key, version, correlation = struct.unpack(">hhi", request[:8])
                reply = struct.pack(">i", correlation) + broker.answer(key, version, request[8:])
                writer.write(struct.pack(">i", len(reply)) + reply)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with listening(converse) as broker.port:
        yield broker


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _list(element: bytes) -> bytes:
    """A list of one element."""
    return struct.pack(">i", 1) + element
