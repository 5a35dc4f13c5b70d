"""A proxy with TLS before Elasticsearch that checks the header Authorization, as Elasticsearch's security does."""

from __future__ import annotations

import asyncio
import base64
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
from aiohttp import web

from tests.secure.broker import PASSWORD, USER, WEAK
from tests.secure.certificates import Pair

API_KEY = base64.b64encode(b"key-of-mner:not-to-be-shown").decode()
WEAK_KEY = base64.b64encode(b"key-of-weak:not-to-be-shown").decode()
ALLOWED = {f"ApiKey {API_KEY}", "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
LIMITED = {f"ApiKey {WEAK_KEY}", "Basic " + base64.b64encode(f"{WEAK}:{PASSWORD}".encode()).decode()}
"""Those who may look at the cluster, but not use any index."""

DROPPED = {"transfer-encoding", "content-length", "content-encoding", "connection"}


def refusal(status: int, reason: str) -> web.Response:
    error = {"type": "security_exception", "reason": reason}
    body = {"error": {"root_cause": [error], **error}, "status": status}
    return web.json_response(body, status=status, headers={"X-Elastic-Product": "Elasticsearch"})


class Proxy:
    """`asked` holds the paths of the requests that passed."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.asked: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        login = request.headers.get("Authorization", "")
        if login not in ALLOWED | LIMITED:
            return refusal(401, "unable to authenticate")
        if login in LIMITED and not request.path.startswith(("/_cluster", "/_nodes")):
            return refusal(403, f"action is unauthorized for [{request.path}]")
        self.asked.append(request.path)
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in {"host", "authorization", *DROPPED}
        }
        async with (
            aiohttp.ClientSession(auto_decompress=True) as session,
            session.request(
                request.method, f"{self.target}{request.raw_path}", headers=headers, data=await request.read()
            ) as answer,
        ):
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in DROPPED}
            return web.Response(body=await answer.read(), status=answer.status, headers=kept)


@contextmanager
def serving(target: str, pair: Pair, ca: Any = None) -> Iterator[tuple[int, Proxy]]:
    """Yields the port of the proxy. With `ca`, it asks its clients for a certificate of this authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    context.load_cert_chain(pair.certificate, pair.key)
    if ca:
        context.verify_mode = ssl.CERT_REQUIRED
    proxy, loop, ports = Proxy(target), asyncio.new_event_loop(), []
    ready = threading.Event()

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=2**27)
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        ports.append(runner.addresses[0][1])
        return runner

    def run() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield ports[0], proxy
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
