"""Finds the person behind each request, and refuses what nobody, or only others, may send."""

from __future__ import annotations

import logging
from urllib.parse import urlencode

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import Stop, UserError
from desk import failures
from desk.access import audit
from desk.access.access import Access
from desk.access.csrf import HEADER, SAFE, STALE, token_of
from desk.access.limits import BODY_BYTES, PER_ADDRESS, by_address

log = logging.getLogger(__name__)

LOGIN = "/login"
FOR_ANYBODY = frozenset({LOGIN, "/login/oidc", "/login/callback"})
"""Paths that need no login, beside those of the static files."""

PROXIED = frozenset({"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"})
"""Headers that only a proxy adds. It lets other machines reach a desk that takes everybody for its owner."""

OPEN_SESSION = "open"
"""Stands for the id of a session where nobody needs to sign in, and so nobody has a cookie."""


def install(app: FastAPI, access: Access) -> None:
    """Puts the middlewares of access control around the application. The last one added sees a request first."""
    app.add_middleware(Gate, access=access)
    failures.watch(app)
    app.add_middleware(
        SessionMiddleware,
        secret_key=access.key,
        session_cookie="__Host-mner-desk" if access.has_https else "mner-desk",
        max_age=int(access.desk.session_hours * 3600),
        https_only=access.has_https,
    )
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=BODY_BYTES)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=access.hosts, www_redirect=False)


class Gate:
    """ASGI middleware. Sets `request.state.person`, and `request.state.csrf` for the forms of the page.

    The person is None only where `FOR_ANYBODY` and static files are asked for.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access
        self._has_warned = access.is_open or bool(access.desk.proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {}).update(person=None, csrf="")
        if scope["path"].startswith("/static/"):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        self._warn_of_a_proxy(request)
        bearer = _bearer(request)
        try:
            if bearer is not None:
                scope = _without_cookies(scope)
                refusal = await self._check_token(Request(scope, receive), bearer)
            else:
                refusal, receive = await self._check_session(request)
        except (UserError, Stop) as error:  # a file of ours is broken, or the audit log: nobody comes in
            log.error("%s", error)
            refusal = failures.answer(request, 503, "the desk cannot check who you are; its log has the reason")
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, _noting_refusals(Request(scope), send))

    def _warn_of_a_proxy(self, request: Request) -> None:
        """Says once, in the log, that a proxy sent a request although no setting names one."""
        if not self._has_warned and "X-Forwarded-For" in request.headers:
            self._has_warned = True
            address = request.client.host if request.client else ""
            log.warning(
                "a request from %s has the header X-Forwarded-For, which does not count: if this is your proxy, set "
                "MNER_DESK_PROXIES=%s, or people share its address in limits and in the audit log",
                address,
                address,
            )

    async def _check_token(self, request: Request, token: str) -> Response | None:
        person = await self._access.files.run(self._access.tokens.person, token)
        if person is not None:
            request.state.person = person
            return None
        address = request.client.host if request.client else ""
        if wait_s := await self._access.attempts.count(by_address(address, "tokens of"), PER_ADDRESS):
            return too_many(request, wait_s)
        await audit.note(request, "token refused", path=request.url.path)
        message = "the token is unknown, has expired or was removed; `mner desk tokens add` makes a new one"
        return failures.answer(request, 401, message, {"WWW-Authenticate": 'Bearer error="invalid_token"'})

    async def _check_session(self, request: Request) -> tuple[Response | None, Receive]:
        """Returns the refusal, if any, and what the application receives."""
        access, receive = self._access, request.receive
        session_id: str | None
        is_open, person = await access.files.run(access.who, request.session)
        if is_open:
            if PROXIED & {name.lower() for name in request.headers}:
                return failures.answer(request, 403, "a proxy sent this: add users with `mner desk users add`"), receive
            session_id = OPEN_SESSION
        else:
            if person is None and request.scope["path"] not in FOR_ANYBODY:
                return _sign_in(request), receive
            is_new = "id" not in request.session
            session_id = None if is_new and request.method not in SAFE else access.sessions.id(request.session)
        request.state.person = person
        if request.method not in SAFE:
            try:
                token, receive = await token_of(request)
            except HTTPException as error:  # a form that is too large, or no form
                return failures.answer(request, error.status_code, str(error.detail)), receive
            except ClientDisconnect:
                return Response(status_code=400), receive
            if fault := access.csrf.fault(request, session_id, token):
                if person is not None:
                    await _note_refusal(request)
                headers = {HEADER: "stale"} if fault == STALE else None
                return failures.answer(request, 403, fault, headers, title="Not sent"), receive
        if session_id is not None:
            request.state.csrf = access.csrf.token(session_id)
        return None, receive


async def _note_refusal(request: Request) -> None:
    """Notes that a person may not do something. A client that tries the same again fills no log with it."""
    method, path, address = request.method, request.url.path, request.client.host if request.client else ""
    await audit.note_once(
        request, "refused", f"{address} {method} {path[: audit.LONGEST]}", status=403, method=method, path=path
    )


def too_many(request: Request, wait_s: float) -> Response:
    """Returns HTTP 429 with the time to wait."""
    wait = int(wait_s) + 1
    return failures.answer(request, 429, f"too many tries; wait {wait // 60 + 1} minutes", {"Retry-After": str(wait)})


def _sign_in(request: Request) -> Response:
    """Returns the way to the login page, or HTTP 401 to programs and where the answer would be lost."""
    if request.method not in {"GET", "HEAD"} or request.scope["path"].startswith("/api/"):
        message = "sign in first, or again; programs send a token of `mner desk tokens add`"
        return failures.answer(request, 401, message, {"WWW-Authenticate": "Bearer"})
    path, query = (request.scope[name].decode("latin-1") for name in ("raw_path", "query_string"))
    asked = f"{path}?{query}" if query else path
    return RedirectResponse(f"{LOGIN}?{urlencode({'next': asked})}" if asked != "/" else LOGIN, 303)


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _without_cookies(scope: Scope) -> Scope:
    """Returns the request as of a program. No cookie is read, and none is set."""
    headers = [(name, value) for name, value in scope["headers"] if name != b"cookie"]
    return {**scope, "headers": headers, "session": {}}


def _noting_refusals(request: Request, send: Send) -> Send:
    """Returns a `send` that notes in the audit log when a person may not do something."""

    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 403 and request.state.person:
            try:
                await _note_refusal(request)
            except Stop as error:
                log.error("%s", error)
        await send(message)

    return noting
