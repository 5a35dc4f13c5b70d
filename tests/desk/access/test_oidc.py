"""Signing in through a real provider of OpenID Connect on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from core.errors import UserError
from desk.access.access import Access, users_of
from desk.app import create
from streams.settings import Settings
from tests.desk.access import provider as providers
from tests.desk.access.conftest import PASSWORD, Clock, access_of, visitor
from tests.desk.access.provider import CLIENT, SECRET, Provider


@pytest.fixture
def provider() -> Iterator[Provider]:
    with providers.running() as running:
        running.claims = {"preferred_username": "ada", "roles": ["analyst", "cook"]}
        yield running


@pytest.fixture
def settings_with_oidc(plain_settings: Settings, provider: Provider) -> Settings:
    desk = {"oidc_issuer": provider.issuer, "oidc_client": CLIENT, "oidc_secret": SECRET}
    return Settings(_env_file=None, home=plain_settings.home, desk=desk)


@pytest.fixture
def app_with_oidc(settings_with_oidc: Settings, clock: Clock) -> FastAPI:
    return create(settings_with_oidc, clock)


async def go_and_come_back(browser: httpx.AsyncClient, next: str = "/") -> httpx.Response:
    """Follows the redirect to the provider and the one back. Returns the desk's answer."""
    leave = await browser.get("/login/oidc", params={"next": next})
    assert leave.status_code == 302, leave.text
    async with httpx.AsyncClient() as outside:
        back = await outside.get(leave.headers["Location"])
    return await browser.get(back.headers["Location"])


async def test_a_person_signs_in_and_has_the_roles_of_the_claim(app_with_oidc: FastAPI) -> None:
    async with visitor(app_with_oidc) as browser:
        page = await browser.get("/login")
        assert "organisation" in page.text
        assert "Password" not in page.text
        answer = await go_and_come_back(browser, "/search?q=x")
        assert (answer.status_code, answer.headers["Location"]) == (303, "/search?q=x")
        home = await browser.get("/login", params={"next": "/x"})
        assert home.headers["Location"] == "/x", "signed in already"
        assert (await browser.get("/audit")).status_code == 403, "an analyst is no admin"
    (entry,) = access_of(app_with_oidc).audit.latest(9, action="login")
    assert (entry.person, entry.way) == ("ada", "oidc")


async def test_claims_may_be_nested_and_in_the_user_info(settings_with_oidc: Settings, provider: Provider) -> None:
    provider.claims, provider.userinfo = {}, {"email": "ada@b.example", "realm_access": {"roles": ["admin"]}}
    settings = settings_with_oidc.changed(desk={"oidc_name": "email", "oidc_roles": "realm_access.roles"})
    app = create(settings)
    async with visitor(app) as browser:
        assert (await go_and_come_back(browser)).status_code == 303
        assert "ada@b.example" in (await browser.get("/audit")).text


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        pytest.param({"aud": "another"}, "cannot be used", id="for another client"),
        pytest.param({"aud": "another", "azp": CLIENT}, "cannot be used", id="for another client, by us"),
        pytest.param({"aud": ["another", CLIENT], "azp": "another"}, "cannot be used", id="party"),
        pytest.param({"iss": "http://another.example"}, "cannot be used", id="issuer"),
        pytest.param({"exp": 1}, "cannot be used", id="expired"),
        pytest.param({"exp": None}, "cannot be used", id="without end"),
        pytest.param({"nonce": "another"}, "cannot be used", id="replayed"),
        pytest.param({"nonce": None}, "cannot be used", id="without nonce"),
        pytest.param({"preferred_username": None}, "no usable name", id="no name"),
        pytest.param({"preferred_username": 7}, "no usable name", id="number"),
        pytest.param({"preferred_username": "a\u202eb"}, "no usable name", id="direction marks"),
        pytest.param({"preferred_username": "token:bot"}, "no usable name", id="a token's name"),
        pytest.param({"roles": ["cook"]}, "no role here", id="no role"),
        pytest.param({"roles": {"admin": True}}, "no role here", id="strange roles"),
        pytest.param({"roles": None}, "no role here", id="no claim"),
    ],
)
async def test_a_token_that_does_not_fit_signs_nobody_in(
    app_with_oidc: FastAPI, provider: Provider, claims: dict[str, Any], says: str
) -> None:
    provider.claims |= claims
    async with visitor(app_with_oidc) as browser:
        answer = await go_and_come_back(browser)
        assert answer.status_code in {400, 403}
        assert says in answer.text
        assert (await browser.get("/")).status_code == 303


async def test_a_token_of_an_unknown_key_signs_nobody_in(app_with_oidc: FastAPI, provider: Provider) -> None:
    provider.published = providers._key()
    async with visitor(app_with_oidc) as browser:
        answer = await go_and_come_back(browser)
        assert (answer.status_code, "cannot be used" in answer.text) == (400, True)
        assert provider.asked.count("keys") == 2, "the keys may have changed, so they are read again"


async def test_a_code_counts_once_and_only_in_the_browser_that_asked(app_with_oidc: FastAPI) -> None:
    async with visitor(app_with_oidc) as browser, visitor(app_with_oidc) as other, httpx.AsyncClient() as outside:
        leave = await browser.get("/login/oidc")
        back = (await outside.get(leave.headers["Location"])).headers["Location"]
        assert (await other.get(back)).status_code == 400
        assert (await browser.get(back)).status_code == 303
        assert (await browser.get(back)).status_code == 400


async def test_a_refusal_of_the_provider_is_told_as_text(app_with_oidc: FastAPI, provider: Provider) -> None:
    provider.refuses = True
    async with visitor(app_with_oidc) as browser:
        answer = await go_and_come_back(browser)
    assert answer.status_code == 400
    assert "you &lt;b&gt;may not&lt;/b&gt;" in answer.text


async def test_a_discovery_document_of_another_issuer_is_refused(app_with_oidc: FastAPI, provider: Provider) -> None:
    provider.discovered_issuer = "https://another.example"
    async with visitor(app_with_oidc) as browser:
        answer = await browser.get("/login/oidc")
    assert (answer.status_code, "https://another.example" in answer.text) == (400, True)


async def test_a_provider_that_is_away_is_named(plain_settings: Settings) -> None:
    app = create(plain_settings.changed(desk={"oidc_issuer": "http://127.0.0.1:9", "oidc_client": CLIENT}))
    async with visitor(app) as browser:
        answer = await browser.get("/login/oidc")
    assert (answer.status_code, "does not answer" in answer.text) == (503, True)


async def test_nobody_takes_the_name_of_a_user_with_a_password(
    app_with_oidc: FastAPI, settings_with_oidc: Settings
) -> None:
    users_of(settings_with_oidc).add("ada", PASSWORD, ("reviewer",))
    async with visitor(app_with_oidc) as browser:
        answer = await go_and_come_back(browser)
        assert (answer.status_code, "belongs to a user with a password" in answer.text) == (400, True)
        assert (await browser.get("/")).status_code == 303


async def test_a_session_ends_when_the_desk_no_longer_trusts_the_issuer(
    app_with_oidc: FastAPI, settings_with_oidc: Settings, clock: Clock
) -> None:
    users_of(settings_with_oidc).add("grace", PASSWORD, ("reviewer",))
    async with visitor(app_with_oidc) as browser:
        assert (await go_and_come_back(browser)).status_code == 303
        cookies = dict(browser.cookies)
    other = create(settings_with_oidc.changed(desk={"oidc_issuer": "https://new.example"}), clock)
    async with visitor(other, cookies=cookies) as browser:
        assert (await browser.get("/")).status_code == 303


@pytest.mark.parametrize(
    ("desk", "says"),
    [
        pytest.param({"oidc_issuer": "https://a.example"}, "MNER_DESK_OIDC_CLIENT", id="no client"),
        pytest.param({"oidc_client": "desk"}, "no MNER_DESK_OIDC_ISSUER", id="no issuer"),
    ],
)
def test_settings_that_do_not_fit_together_are_named(plain_settings: Settings, desk: dict[str, str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Access(plain_settings.changed(desk=desk))
