"""A desk without servers, and people with browsers. Only what decides who may come in is asked."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import argon2
import httpx
import pytest
from fastapi import FastAPI

from desk.access.access import Access, users_of
from desk.access.people import Role
from desk.app import create
from streams.settings import Settings

OWN = "http://127.0.0.1:8700"
PASSWORD = "correct horse battery staple"


class Clock:
    """Unix seconds that stand still until a test moves them on."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr("desk.access.users.PasswordHasher", lambda: quick)


@pytest.fixture
def plain_settings(tmp_path: Path) -> Settings:
    """Settings that name no server and no user."""
    return Settings(_env_file=None, home=tmp_path)


@pytest.fixture
def user_settings(plain_settings: Settings) -> Settings:
    """Settings with a user of each role, all with the same password."""
    roles: tuple[Role, ...] = ("reviewer", "analyst", "admin")
    for role in roles:
        users_of(plain_settings).add(role, PASSWORD, (role,))
    return plain_settings


@pytest.fixture
def app(user_settings: Settings, clock: Clock) -> FastAPI:
    """A desk with users."""
    return create(user_settings, clock)


@pytest.fixture
def open_settings(tmp_path: Path) -> Settings:
    """Settings without users, also where the same test has a desk with users."""
    return Settings(_env_file=None, home=tmp_path / "open")


@pytest.fixture
def open_app(open_settings: Settings, clock: Clock) -> FastAPI:
    """A desk that needs no login."""
    return create(open_settings, clock)


def access_of(app: FastAPI) -> Access:
    access: Access = app.state.access
    return access


def visitor(app: FastAPI, address: str = "127.0.0.1", **options: Any) -> httpx.AsyncClient:
    """Returns a browser at `address` with no cookies. It says where its requests come from, as browsers do."""
    options.setdefault("headers", {"Origin": OWN, "Sec-Fetch-Site": "same-origin"})
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 1)), base_url=OWN, **options
    )


async def csrf_of(browser: httpx.AsyncClient, path: str = "/login") -> str:
    """Returns the token in a page."""
    page = await browser.get(path)
    (token,) = re.findall(r'<meta name="csrf" content="([^"]*)">', page.text)
    return str(token)


async def sign_in(browser: httpx.AsyncClient, name: str, password: str = PASSWORD, next: str = "/") -> httpx.Response:
    form = {"name": name, "password": password, "next": next, "csrf": await csrf_of(browser)}
    return await browser.post("/login", data=form)


@asynccontextmanager
async def signed_in(app: FastAPI, name: str, address: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    """Yields the browser of a user who has signed in."""
    async with visitor(app, address) as browser:
        answer = await sign_in(browser, name)
        assert answer.status_code == 303, answer.text
        yield browser
