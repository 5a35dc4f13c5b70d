"""How requests reach Elasticsearch: the node of the client, and what each of the client's errors means.

The node differs from the client's own in two points. A redirected write fails, since a redirect would turn it into a
read. An error page that is not JSON keeps its status, whatever its content type says.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from elastic_transport import (
    AiohttpHttpNode,
    ApiError,
    ApiResponseMeta,
    ConnectionTimeout,
    HttpHeaders,
    SerializationError,
    TlsError,
    TransportError,
)
from elasticsearch import UnsupportedProductError

from sinks.answers import tls
from sinks.answers.answer import Answer
from sinks.answers.elasticsearch import TOO_LONG_S, connection_answer, request_answer


class Redirected(Exception):
    """The server redirects a write."""


class Node(AiohttpHttpNode):
    """The client's node over aiohttp."""

    def _create_aiohttp_session(self) -> None:
        super()._create_aiohttp_session()
        assert self.session is not None
        trace = aiohttp.TraceConfig()
        trace.on_request_redirect.append(_refuse)
        trace.freeze()
        self.session.trace_configs.append(trace)

    async def perform_request(self, *arguments: Any, **options: Any) -> Any:  # type: ignore[override]
        response = await super().perform_request(*arguments, **options)
        meta, body = response.meta, response.body
        if 200 <= meta.status < 300 or _is_json(body):
            return response
        headers = HttpHeaders(meta.headers)
        headers["content-type"] = "text/plain"
        plain = ApiResponseMeta(meta.status, meta.http_version, headers, meta.duration, meta.node)
        return response._replace(meta=plain, body=body.decode(errors="replace").encode())


async def _refuse(_: Any, __: Any, params: aiohttp.TraceRequestRedirectParams) -> None:
    if params.method not in {"GET", "HEAD"} and params.response.status in {301, 302, 303}:
        target = urlsplit(params.response.headers.get("Location", ""))
        where = f"{target.scheme}://{target.netloc.rpartition('@')[2]}{target.path}" if target.netloc else target.path
        raise Redirected(f"{params.response.status} to {where or 'nowhere'}")


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def classed(error: ApiError | TransportError, server: str, name: str, *, known: bool) -> Answer:
    """Returns what an error of the client means. `known`: whether this server has answered as Elasticsearch before."""
    if isinstance(error, UnsupportedProductError):
        return connection_answer("" if known else "product", f"it answers {error.meta.status}", server, name)
    if isinstance(error, ApiError) and 300 <= error.meta.status < 400 and not known:
        return connection_answer("redirect", str(error.meta.status), server, name)
    if isinstance(error, ApiError):
        ours = error.meta.headers.get("x-elastic-product") == "Elasticsearch"
        return request_answer(error.meta.status, error.body, server, name, ours=ours)
    return connection_answer(_kind(error, known=known), _detail(error), server, name)


def after_s(error: ApiError | TransportError) -> float:
    """Returns the seconds that the server asks us to wait, within bounds."""
    asked = (error.meta.headers.get("retry-after") or "") if isinstance(error, ApiError) else ""
    return min(float(asked), TOO_LONG_S) if asked.isascii() and asked.isdigit() else 0.0


def _cause(error: TransportError) -> BaseException | None:
    """Returns the error of aiohttp. Once the client gives up, `errors` holds those of the nodes before, or nothing."""
    return error.__context__ or (error.errors[0] if error.errors else None)


def _kind(error: TransportError, *, known: bool) -> str:
    cause = _cause(error)
    kind = "dropped"
    if isinstance(error, TlsError):
        kind = tls.fault(f"{error.message} {cause}") or "tls"
    elif isinstance(cause, Redirected | aiohttp.TooManyRedirects):
        kind = "moved" if known else "redirect"
    elif isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        kind = "unreachable"
    elif isinstance(error, ConnectionTimeout):
        kind = "timeout"
    elif isinstance(error, SerializationError):
        kind = "unreadable" if known else "product"
    return kind


def _detail(error: TransportError) -> str:
    told = " ".join(str(error.message).split())
    return (told or type(_cause(error) or error).__name__)[:300]
