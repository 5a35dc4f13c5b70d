"""API tokens: shown once, stored as hashes, ended by time and by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI, Request

from core.errors import UserError
from desk.access import limits
from desk.access.access import tokens_of
from desk.access.people import Analyst, Person
from desk.access.tokens import Tokens
from streams.settings import Settings
from tests.desk.access.conftest import Clock, access_of, csrf_of, signed_in, visitor

OPENAPI = "/api/openapi.json"


def test_a_token_is_stored_as_a_hash(tmp_path: Path, clock: Clock) -> None:
    tokens = Tokens(tmp_path / "desk" / "tokens.json", clock)
    secret, other = tokens.add("bot", ("analyst",), None), tokens.add("other", ("admin",), None)
    assert secret != other
    assert len(secret) == len("mner_") + 43
    text = (tmp_path / "desk" / "tokens.json").read_text()
    assert secret not in text
    assert secret[5:] not in text
    person = tokens.person(secret)
    assert person is not None
    assert person == Person("token:bot", frozenset({"analyst"}), "token")
    for wrong in ("", "mner_", secret[:-1], secret + "x", secret.upper(), tokens.all()["bot"].sha256):
        assert tokens.person(wrong) is None
    with pytest.raises(UserError, match="there is a token 'bot' already"):
        tokens.add("bot", ("analyst",), None)


async def test_a_token_opens_the_api_until_it_expires_or_is_removed(
    app: FastAPI, user_settings: Settings, clock: Clock
) -> None:
    tokens = tokens_of(user_settings, clock)
    short, long = tokens.add("short", ("analyst",), 1), tokens.add("long", ("analyst",), None)

    async def status(secret: str, scheme: str = "Bearer") -> int:
        async with visitor(app) as program:
            answer = await program.get(OPENAPI, headers={"Authorization": f"{scheme} {secret}"})
            assert "Set-Cookie" not in answer.headers
            return answer.status_code

    assert [await status(short), await status(long), await status(long, "bearer")] == [200, 200, 200]
    assert [await status(long + "x"), await status(""), await status(long, "Basic")] == [401, 401, 401]
    clock.now += 86_400
    assert [await status(short), await status(long)] == [401, 200]
    tokens.remove("long")
    assert await status(long) == 401


async def test_a_request_with_a_token_needs_no_csrf_and_sees_no_cookie(app: FastAPI, user_settings: Settings) -> None:
    secret = tokens_of(user_settings).add("bot", ("reviewer",), None)

    @app.post("/api/changed")
    async def changed(request: Request) -> list[dict[str, str]]:
        return [request.cookies, dict(request.session)]

    async with signed_in(app, "admin") as browser:
        before = dict(browser.cookies)
        headers = {"Authorization": f"Bearer {secret}", "Origin": "http://evil.example"}
        answer = await browser.post("/api/changed", headers=headers)
        assert (answer.status_code, answer.json()) == (200, [{}, {}])
        assert (await browser.get("/audit", headers=headers)).status_code == 403, "the admin's cookie does not count"
        bad = {"Authorization": "Bearer wrong", "X-CSRF-Token": await csrf_of(browser, "/audit")}
        assert (await browser.post("/api/changed", headers=bad)).status_code == 401
        assert dict(browser.cookies) == before


async def test_a_wrong_token_is_refused_also_where_nobody_signs_in(open_app: FastAPI) -> None:
    async with visitor(open_app) as program:
        answer = await program.get(OPENAPI, headers={"Authorization": "Bearer wrong"})
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')
        for _ in range(limits.PER_ADDRESS):
            answer = await program.get(OPENAPI, headers={"Authorization": "Bearer wrong"})
        assert answer.status_code == 429
        assert (await program.get(OPENAPI)).status_code == 200
    assert len(access_of(open_app).audit.latest(100, action="token refused")) == limits.PER_ADDRESS


async def test_the_description_of_the_api_names_the_tokens(open_app: FastAPI) -> None:
    @open_app.get("/api/found")
    async def found(person: Analyst) -> dict[str, str]:
        return {"name": person.name}

    async with visitor(open_app) as program:
        described = (await program.get(OPENAPI)).json()
        assert (await program.get("/api/found")).json() == {"name": access_of(open_app).owner.name}
    assert described["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    assert described["paths"]["/api/found"]["get"]["security"]
