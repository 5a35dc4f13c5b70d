"""Signing in with a password, and when a session ends."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from http.cookies import SimpleCookie

import httpx
import pytest
from fastapi import FastAPI

from core.errors import UserError
from desk.access.access import users_of
from desk.access.routes import safe_next
from desk.app import create
from streams.settings import Settings
from tests.desk.access.conftest import OWN, PASSWORD, Clock, access_of, csrf_of, sign_in, signed_in, visitor


async def is_in(browser: httpx.AsyncClient) -> bool:
    return (await browser.get("/login")).status_code == 303


async def test_a_user_signs_in_and_out(app: FastAPI) -> None:
    async with visitor(app) as browser:
        leave = await browser.get("/audit", params={"person": "a b"})
        assert (leave.status_code, leave.headers["Location"]) == (303, "/login?next=%2Faudit%3Fperson%3Da%2Bb")
        answer = await sign_in(browser, "admin", next="/audit")
        assert (answer.status_code, answer.headers["Location"]) == (303, "/audit")
        page = (await browser.get("/audit")).text
        assert "Signed in as admin" in page
        out = await browser.post("/logout", data={"csrf": await csrf_of(browser, "/audit")})
        assert (out.status_code, out.headers["Location"]) == (303, "/login")
        assert not await is_in(browser)


@pytest.mark.parametrize(
    ("name", "password"), [("admin", "wrong"), ("nobody", PASSWORD), ("", ""), ("admin\x00", PASSWORD)]
)
async def test_a_wrong_login_does_not_say_what_is_wrong(app: FastAPI, name: str, password: str) -> None:
    async with visitor(app) as browser:
        answer = await sign_in(browser, name, password)
        assert answer.status_code == 403
        assert "Name or password is wrong." in answer.text
        assert not await is_in(browser)


@pytest.mark.parametrize(
    ("url", "name", "is_secure"), [(None, "mner-desk", False), ("https://desk.example", "__Host-mner-desk", True)]
)
async def test_scripts_and_other_sites_do_not_get_the_cookie(
    user_settings: Settings, url: str | None, name: str, is_secure: bool
) -> None:
    app = create(user_settings.changed(desk={"url": url}))
    base = url or OWN
    headers = {"Origin": base}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base, headers=headers) as browser:
        sent = (await sign_in(browser, "admin")).headers.get_list("Set-Cookie")
    (cookie,) = [cookies[name] for cookies in map(SimpleCookie, sent) if name in cookies]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["domain"]) == (True, "lax", "/", "")
    assert bool(cookie["secure"]) is is_secure
    assert cookie["max-age"] == str(12 * 3600)


async def test_signing_in_begins_a_new_session(app: FastAPI) -> None:
    async with visitor(app) as browser:
        token = await csrf_of(browser)
        before = dict(browser.cookies)
        await sign_in(browser, "admin")
        assert dict(browser.cookies) != before
        answer = await browser.post("/logout", headers={"X-CSRF-Token": token})
        assert answer.status_code == 403, "the token of the time before counts no more"
    async with visitor(app, cookies=before) as stranger:
        assert not await is_in(stranger)


@pytest.mark.parametrize(
    ("steps", "stays"),
    [
        pytest.param([59 * 60] * 12, True, id="active"),
        pytest.param([61 * 60], False, id="idle"),
        pytest.param([59 * 60] * 13, False, id="too long"),
    ],
)
async def test_a_session_ends_with_time(app: FastAPI, clock: Clock, steps: list[int], stays: bool) -> None:
    async with signed_in(app, "admin") as browser:
        for step in steps:
            clock.now += step
            last = await is_in(browser)
        assert last is stays


def _replace(settings: Settings) -> None:
    users_of(settings).remove("admin")
    users_of(settings).add("admin", PASSWORD, ("admin",))


CHANGES: dict[str, Callable[[Settings], None]] = {
    "removed": lambda settings: users_of(settings).remove("admin"),
    "new password": lambda settings: users_of(settings).set_password("admin", "another long password"),
    "removed and added again": _replace,
    "the file is gone": lambda settings: users_of(settings).path.unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_change_of_the_user_ends_the_open_sessions(
    app: FastAPI, user_settings: Settings, change: Callable[[Settings], None]
) -> None:
    async with signed_in(app, "admin") as browser:
        change(user_settings)
        assert not await is_in(browser)
        assert (await browser.get("/api/openapi.json")).status_code == 401


async def test_a_change_of_roles_counts_at_once(app: FastAPI, user_settings: Settings) -> None:
    async with signed_in(app, "admin") as browser:
        assert (await browser.get("/audit")).status_code == 200
        path = users_of(user_settings).path
        path.write_text(path.read_text().replace('"admin"\n   ]', '"reviewer"\n   ]'))
        answer = await browser.get("/audit")
        assert (answer.status_code, "for the role admin" in answer.text) == (403, True)


async def test_new_roles_count_at_the_next_request_of_an_open_session(app: FastAPI, user_settings: Settings) -> None:
    async with signed_in(app, "reviewer") as browser:
        assert (await browser.get("/audit")).status_code == 403
        users_of(user_settings).set_roles("reviewer", ("admin", "reviewer"))
        assert (await browser.get("/audit")).status_code == 200, "without signing in again"
        users_of(user_settings).set_roles("reviewer", ("reviewer",))
        assert (await browser.get("/audit")).status_code == 403
    with pytest.raises(UserError, match="there is no user 'nobody'"):
        users_of(user_settings).set_roles("nobody", ("admin",))


async def test_a_spoiled_file_of_users_lets_nobody_in(app: FastAPI, user_settings: Settings) -> None:
    async with signed_in(app, "admin") as browser:
        users_of(user_settings).path.write_text("{")
        for path in ("/", "/login", "/audit", "/api/openapi.json"):
            answer = await browser.get(path)
            assert (answer.status_code, "users.json" in answer.text) == (503, False)


async def test_logging_out_ends_copies_of_the_cookie_also_after_a_restart(
    app: FastAPI, user_settings: Settings, clock: Clock
) -> None:
    async with signed_in(app, "admin") as browser:
        copy = dict(browser.cookies)
        await browser.post("/logout", data={"csrf": await csrf_of(browser, "/audit")})
    for desk in (app, create(user_settings, clock)):
        async with visitor(desk, cookies=copy) as thief:
            assert not await is_in(thief)


async def test_a_cookie_that_somebody_changed_is_none(app: FastAPI) -> None:
    async with signed_in(app, "reviewer") as browser:
        name, value = "mner-desk", browser.cookies["mner-desk"]
    payload, _, rest = value.partition(".")
    for forged in (f"{payload[:-4]}AAAA.{rest}", payload, f"{payload}..", "x", ""):
        async with visitor(app, cookies={name: forged}) as thief:
            assert not await is_in(thief)


async def test_the_key_of_the_cookies_is_made_once_and_private(user_settings: Settings, clock: Clock) -> None:
    async with signed_in(create(user_settings, clock), "admin") as browser:
        cookies = dict(browser.cookies)
    assert (user_settings.home / "desk" / "key.json").stat().st_mode & 0o777 == 0o600
    async with visitor(create(user_settings, clock), cookies=cookies) as browser:
        assert await is_in(browser), "a restart signs nobody out"


@pytest.mark.parametrize(
    "address", ["/", "/search?q=a&page=2", "/entities/NASA", "/review#1", "/a?b=https://c.example"]
)
def test_a_page_of_ours_is_returned_to(address: str) -> None:
    assert safe_next(address) == address


@pytest.mark.parametrize(
    "address",
    ["", "x", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example",
     "https:evil.example", "javascript:alert(1)", "/\t/evil.example", "/\n/evil.example", " //evil.example",
     "/%0d%0a\r\nSet-Cookie: a=b", "/login", "/login?next=/login", "/logout", "//[", "/\u2028x", "http:///evil.example"],
)  # fmt: skip
async def test_another_address_is_not(app: FastAPI, address: str) -> None:
    assert safe_next(address) == "/"
    async with visitor(app) as browser:
        answer = await sign_in(browser, "admin", next=address)
        assert answer.headers["Location"] == "/"
        assert (await browser.get("/login", params={"next": address})).headers["Location"] == "/"


async def test_an_address_with_escapes_is_returned_to_as_it_was(app: FastAPI) -> None:
    asked = "/entities/%C5%81%C3%B3d%C5%BA%3F%26?page=2&q=a%20b"
    async with visitor(app) as browser:
        leave = await browser.get(asked)
        login = await browser.get(leave.headers["Location"])
        (next,) = re.findall(r'name="next" value="([^"]*)"', login.text)
        answer = await sign_in(browser, "admin", next=html.unescape(next))
    assert answer.headers["Location"] == asked


async def test_a_login_that_cannot_be_noted_signs_nobody_in(app: FastAPI, user_settings: Settings) -> None:
    (user_settings.home / "desk" / "audit.jsonl").mkdir()
    async with visitor(app) as browser:
        assert (await sign_in(browser, "admin")).status_code == 503
        assert not await is_in(browser)


async def test_the_navigation_shows_what_the_roles_allow(app: FastAPI) -> None:
    shown = {}
    for name in ("reviewer", "analyst", "admin"):
        async with signed_in(app, name) as browser:
            page = (await browser.get("/nowhere")).text
            shown[name] = {path for path in ("/review", "/search", "/entities", "/audit") if f'href="{path}"' in page}
    assert shown == {
        "reviewer": {"/review"},
        "analyst": {"/search", "/entities"},
        "admin": {"/review", "/search", "/entities", "/audit"},
    }


async def test_several_users_have_their_own_sessions(app: FastAPI) -> None:
    async with signed_in(app, "admin") as one, signed_in(app, "reviewer") as other:
        assert (await one.get("/audit")).status_code == 200
        assert (await other.get("/audit")).status_code == 403
    assert {entry.person for entry in access_of(app).audit.latest(9, action="login")} == {"admin", "reviewer"}


def test_somebody_who_is_not_here_may_what_the_files_say(app: FastAPI, user_settings: Settings) -> None:
    access = access_of(app)
    access.tokens.add("nightly", ("analyst",), None)
    named = {name: access.may_still(name, "analyst") for name in ("reviewer", "analyst", "admin", "nightly", "nobody")}
    assert named == {"reviewer": False, "analyst": True, "admin": True, "nightly": True, "nobody": False}
    users_of(user_settings).remove("analyst")
    assert not access.may_still("analyst", "analyst")


def test_everybody_may_everything_where_nobody_signs_in(open_app: FastAPI) -> None:
    assert access_of(open_app).may_still("anybody", "analyst")
