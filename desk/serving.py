"""Serves the desk over HTTP."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from desk.access.hosts import has_unnamed_proxy, is_loopback, listener
from streams.settings import Desk, Settings


def config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """Returns how uvicorn serves the desk. The headers of a proxy count only if the settings name the proxy."""
    host, port = listener(settings.desk)
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        proxy_headers=bool(settings.desk.proxies),
        forwarded_allow_ips=list(settings.desk.proxies),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
    )


def address(desk: Desk) -> str:
    """Returns where people find the desk."""
    return desk.url or f"http://{desk.listen}"


def warnings(desk: Desk) -> list[str]:
    """Returns what is wrong with the way on which people reach the desk, each with its remedy."""
    found = []
    host, _ = listener(desk)
    if not is_loopback(host) and not (desk.url or "").startswith("https:"):
        found.append("passwords travel unencrypted: put a proxy with TLS in front, and set MNER_DESK_URL")
    if has_unnamed_proxy(desk):
        found.append(
            f"people seem to reach the desk through a proxy ({address(desk)} is not {desk.listen}), but "
            "MNER_DESK_PROXIES is not set: all of them have the proxy's address, so tries to sign in are not limited "
            "by address, and the audit log tells no addresses; set MNER_DESK_PROXIES to the address that the proxy "
            "connects from, such as 127.0.0.1"
        )
    return found


class Server(uvicorn.Server):
    """Calls `ready` once it accepts connections."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()
