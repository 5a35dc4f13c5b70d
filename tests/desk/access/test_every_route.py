"""Every route of the application asks who sends a request, and whether its own page sent it. New routes do, too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from desk.access.csrf import SAFE
from desk.app import create
from streams.settings import Settings
from tests.desk.access.conftest import signed_in, visitor
from tests.desk.routes import walk

FOR_ANYBODY = {("GET", "/login"), ("POST", "/login"), ("GET", "/login/oidc"), ("GET", "/login/callback")}
"""The only routes that need no login. Static files need none either."""

STATIC = "/static"


def methods(path: str, route: Any) -> Iterator[tuple[str, str]]:
    """Yields each method and the path of a route."""
    yield from ((method, path) for method in sorted(getattr(route, "methods", {"GET"}) - {"HEAD"}))


ALL = sorted({one for found in walk(create(Settings(_env_file=None)).routes) for one in methods(*found)})
PROTECTED = [route for route in ALL if route not in FOR_ANYBODY and not route[1].startswith(STATIC)]
UNSAFE = [(method, path) for method, path in ALL if method not in SAFE]


def filled(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "1", path)


def test_the_walk_finds_the_routes() -> None:
    assert {("GET", "/"), ("GET", "/audit"), ("POST", "/logout"), ("GET", "/api/openapi.json")} <= set(PROTECTED)
    assert set(ALL) >= FOR_ANYBODY


@pytest.mark.parametrize(("method", "path"), PROTECTED)
async def test_a_route_refuses_somebody_who_has_not_signed_in(app: FastAPI, method: str, path: str) -> None:
    async with visitor(app) as browser:
        answer = await browser.request(method, filled(path))
    if method == "GET" and not path.startswith("/api/"):
        assert (answer.status_code, answer.headers["Location"].partition("?")[0]) == (303, "/login")
    else:
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize(("method", "path"), UNSAFE)
@pytest.mark.parametrize("is_open", [False, True], ids=["users", "open"])
async def test_an_unsafe_route_refuses_a_request_without_the_token(
    app: FastAPI, open_app: FastAPI, method: str, path: str, is_open: bool
) -> None:
    async with visitor(open_app) if is_open else signed_in(app, "admin") as browser:
        answer = await browser.request(method, filled(path), json={})
    assert answer.status_code == 403
    assert "older than your session" in answer.text
    assert answer.headers["X-CSRF-Token"] == "stale"
