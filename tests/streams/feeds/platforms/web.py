"""An HTTP server of aiohttp in a thread, for platforms of tests."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web


def bound() -> socket.socket:
    """Returns a socket on a free port of loopback, so that the address is known before the server runs."""
    bound_socket = socket.socket()
    bound_socket.bind(("127.0.0.1", 0))
    return bound_socket


@contextmanager
def running(app: web.Application, on: socket.socket, context: ssl.SSLContext | None = None) -> Iterator[None]:
    """Runs the server until the end of the block, with TLS if there is a context."""
    loop = asyncio.new_event_loop()
    started, ending = threading.Event(), asyncio.Event()

    async def serve() -> None:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.SockSite(runner, on, ssl_context=context).start()
        started.set()
        await ending.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join(10)
        loop.close()


@contextmanager
def answering(handler: object, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[str]:
    """Answers every GET with this handler. Yields the address, with this name of loopback."""
    app = web.Application()
    app.router.add_get("/{name:.*}", handler)  # type: ignore[arg-type]
    on = bound()
    with running(app, on, context):
        yield f"http{'s' * (context is not None)}://{host}:{on.getsockname()[1]}"
