"""Turns errors into pages, or into JSON for programs: what is wrong, and what to do."""

from __future__ import annotations

import logging

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import Reject, Retry, Stop, UserError, first_line
from core.secret import scrub
from core.text import plain
from desk.pages import render

log = logging.getLogger(__name__)

TITLES = {
    400: "That does not work",
    401: "Please sign in",
    403: "You may not do this",
    404: "Nothing here",
    405: "Nothing here",
    409: "It has changed meanwhile",
    413: "Too large",
    422: "That does not work",
    429: "Too many tries",
    503: "A server is away",
}
MOST = 500
"""Longest message, in characters. It may quote a stranger's text."""


def install(app: FastAPI) -> None:
    """Makes the application answer errors in this module's way."""
    app.add_exception_handler(StarletteHTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(UserError, _mistake)
    app.add_exception_handler(Reject, _refused)
    app.add_exception_handler(Retry, _away)
    app.add_exception_handler(Stop, _away)


def watch(app: FastAPI) -> None:
    """Makes the application, with the middlewares added so far, answer faults of ours in this module's way."""
    app.add_middleware(Faults)


def answer(
    request: Request, status: int, message: str, headers: dict[str, str] | None = None, title: str = ""
) -> Response:
    """Returns an error as JSON below `/api/`, and as a page elsewhere. `title`: by default that of the status."""
    told = plain(scrub(message), MOST)
    response: Response
    if request.url.path.startswith("/api/"):
        response = JSONResponse({"error": told}, status)
    else:
        title = title or TITLES.get(status, "Something went wrong")
        response = render(request, "error.html", status, code=status, title=title, message=told)
    response.headers.update(headers or {})
    return response


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException | StarletteHTTPException)
    message = f"there is no page {request.url.path}" if error.status_code == 404 else str(error.detail)
    message = message if error.status_code != 404 or error.detail in (None, "Not Found") else str(error.detail)
    return answer(request, error.status_code, message, dict(error.headers or {}))


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [
        f"{'.'.join(str(step) for step in problem['loc'][1:]) or 'request'}: {problem['msg']}"
        for problem in error.errors()[:8]
    ]
    return answer(request, 422, "; ".join(problems))


def _mistake(request: Request, error: Exception) -> Response:
    return answer(request, 400, str(error))


def _refused(request: Request, error: Exception) -> Response:
    return answer(request, 422, first_line(error))


def _away(request: Request, error: Exception) -> Response:
    return answer(request, 503, first_line(error), {"Retry-After": "2"})


class Faults:
    """ASGI middleware for errors that nobody foresaw. Starlette would answer them outside of all other middleware, and
    so without the security headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def watched(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            if scope["type"] != "http" or has_begun:
                raise
            log.exception("a fault of the desk at %s", scope["path"])
            response = answer(Request(scope), 500, "the desk has a fault; its log has the details")
            await response(scope, receive, send)
