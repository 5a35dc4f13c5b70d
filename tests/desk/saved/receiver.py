"""A receiver of webhooks that fails in turn, and keeps what it got."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Message:
    """What one request brought."""

    id: str
    timestamp: str
    signature: str
    body: bytes

    def is_signed_with(self, secret: str) -> bool:
        """Checks the signature as a receiver would, from the text of Standard Webhooks alone."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        digest = hmac.new(key, b".".join([self.id.encode(), self.timestamp.encode(), self.body]), hashlib.sha256)
        return self.signature == "v1," + base64.b64encode(digest.digest()).decode()

    @property
    def content(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """An HTTP server on the loopback address. `answers`: what it does with the next requests; then it answers 200."""

    answers: list[int | str] = field(default_factory=list)
    got: list[Message] = field(default_factory=list)
    host: str = ""

    async def __aenter__(self) -> Receiver:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.host = f"127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://{self.host}/hook"

    def will(self, answers: Iterable[int | str]) -> None:
        self.answers += answers

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        told = request.headers
        signature = told["webhook-signature"]
        body = await request.read()
        self.got.append(Message(told["webhook-id"], told["webhook-timestamp"], signature, body))
        answer = self.answers.pop(0) if self.answers else 200
        if answer == "closes":
            assert request.transport is not None
            request.transport.abort()
        elif answer == "slow":
            await asyncio.sleep(60)
        elif answer == "huge":
            return web.Response(body=b"x" * 10_000_000)
        elif answer == 302:
            return web.Response(status=302, headers={"Location": f"http://{self.host}/other"})
        return web.Response(status=answer if isinstance(answer, int) else 200)
