"""A server that ends each TLS handshake with an alert, or without one, and what a worker does about it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.families.servers.listening import listening

STOPS = {
    "bad certificate": 42,
    "unsupported certificate": 43,
    "certificate revoked": 44,
    "certificate expired": 45,
    "certificate unknown": 46,
    "unknown ca": 48,
    "access denied": 49,
    "protocol version": 70,
    "insufficient security": 71,
    "unrecognized name": 112,
    "certificate required": 116,
}
"""Alerts that last until a person changes a certificate, a name or a version (RFC 8446, 6.2)."""

PASSES = {
    "close notify": 0,
    "unexpected message": 10,
    "bad record mac": 20,
    "record overflow": 22,
    "handshake failure": 40,
    "decode error": 50,
    "decrypt error": 51,
    "internal error": 80,
    "user canceled": 90,
    "an alert of the future": 200,
}

CASES = [
    *(pytest.param(number, "stop", "refuses our TLS", id=name) for name, number in STOPS.items()),
    *(pytest.param(number, "retry", "", id=name) for name, number in PASSES.items()),
    pytest.param(None, "retry", "", id="the connection is closed"),
]


@asynccontextmanager
async def alerting(number: int | None) -> AsyncIterator[int]:
    """Runs a server that answers the first message with this alert, or hangs up. Yields its port."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10_000)
        if number is not None:
            writer.write(bytes([21, 3, 3, 0, 2, 2, number]))
            await writer.drain()
        writer.close()

    async with listening(converse) as port:
        yield port
