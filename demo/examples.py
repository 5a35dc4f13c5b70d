"""The example posts, the faults planted among them, and a server on 127.0.0.1 for their images.

The examples are part of the repository, not of an installed package. Their image URLs name a placeholder host, so that
the server can use any free port.
"""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aiohttp import web

from core.errors import UserError

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PLACEHOLDER = "http://images.example"

#: Width and height, in pixels, of the decompression bomb: a PNG of about 50 kB.
BOMB_SIDE = 20_000

#: Where cloud providers keep a machine's credentials. A redirect must never lead there.
METADATA = "http://169.254.169.254/latest/meta-data/"


@dataclass(frozen=True)
class Fault:
    """A planted fault."""

    line: int  # counts from 1
    id: str  # of the post
    what: str
    outcome: Literal["dead", "image"]  # a dead letter, or an extraction from the text alone
    reason: str  # the start of the reason that the system gives


def example_events(base_url: str) -> list[bytes]:
    """Returns the lines of `examples/tweets.jsonl`, with image URLs at `base_url`. Faulty lines stay faulty."""
    return [line.replace(PLACEHOLDER.encode(), base_url.encode()) for line in _read("tweets.jsonl").splitlines()]


def example_faults() -> list[Fault]:
    """Returns the planted faults in the order of their lines."""
    return [Fault(**fault) for fault in json.loads(_read("faults.json"))]


def _read(name: str) -> bytes:
    try:
        return (EXAMPLES / name).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{EXAMPLES / name} is missing: run this from a clone of the repository") from None


@asynccontextmanager
async def image_server(folder: Path = EXAMPLES / "images") -> AsyncIterator[str]:
    """Serves `folder` and the faulty images on a free port. Yields the address, `http://127.0.0.1:PORT`."""
    app = web.Application()
    app.router.add_get("/too-big.jpg", _too_big)
    app.router.add_get("/slow.jpg", _slow)
    app.router.add_get("/not-an-image.jpg", _not_an_image)
    app.router.add_get("/bomb.png", _bomb)
    app.router.add_get("/moved.jpg", _moved)
    app.router.add_static("/", folder)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _too_big(request: web.Request) -> web.StreamResponse:
    """Sends the start of a JPEG, then endless bytes, without a Content-Length."""
    response = web.StreamResponse(headers={"Content-Type": "image/jpeg"})
    await response.prepare(request)
    with suppress(ConnectionError):
        await response.write(b"\xff\xd8\xff\xe0")
        while True:
            await response.write(bytes(65_536))
    return response


async def _slow(request: web.Request) -> web.StreamResponse:
    """Sends a byte every 0.2 seconds, so that no pause is long enough for a read timeout."""
    response = web.StreamResponse(headers={"Content-Type": "image/jpeg"})
    await response.prepare(request)
    with suppress(ConnectionError):
        while True:
            await response.write(b"\xff")
            await asyncio.sleep(0.2)
    return response


async def _not_an_image(request: web.Request) -> web.Response:
    return web.Response(body=b"<!doctype html><title>Sign in to see this image</title>", content_type="image/jpeg")


async def _bomb(request: web.Request) -> web.Response:
    return web.Response(body=await asyncio.to_thread(png_bomb), content_type="image/png")


async def _moved(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": METADATA})


def png_bomb(side: int = BOMB_SIDE) -> bytes:
    """Returns a valid black PNG of side x side pixels, 1 bit each (PNG specification, third edition, section 5)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes((side + 7) // 8 + 1) * side, 9)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
