"""Which requests the desk answers: their host, their origin, the token of the page, their size, and their number."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from core.errors import UserError
from desk.access import limits
from desk.access.access import users_of
from desk.access.people import Person
from desk.app import create
from desk.serving import config, warnings
from streams.settings import Settings
from tests.desk.access.conftest import OWN, PASSWORD, Clock, access_of, csrf_of, sign_in, signed_in, visitor

# where the desk listens


@pytest.mark.parametrize("listen", ["127.0.0.1:8700", "127.8.9.1:80", "[::1]:8700", "localhost:8700"])
async def test_a_desk_on_loopback_is_open_to_its_owner(plain_settings: Settings, listen: str) -> None:
    app = create(plain_settings.changed(desk={"listen": listen}))
    async with visitor(app) as browser:
        assert (await browser.get("/audit")).status_code == 200
        assert "Sign out" not in (await browser.get("/audit")).text
        assert not browser.cookies
    assert access_of(app).owner.may("reviewer")


@pytest.mark.parametrize("listen", ["10.0.0.1:8700", "[fe80::1]:8700", "desk.example:8700", "localhost.example:1"])
def test_a_desk_elsewhere_needs_users(plain_settings: Settings, listen: str) -> None:
    settings = plain_settings.changed(desk={"listen": listen})
    with pytest.raises(UserError, match="mner desk users add NAME --role admin"):
        create(settings)
    users_of(settings).add("ada", PASSWORD, ("admin",))
    assert not access_of(create(settings)).is_open


@pytest.mark.parametrize("listen", ["0.0.0.0:8700", "[::]:8700"])
def test_a_desk_on_every_address_needs_its_name(user_settings: Settings, listen: str) -> None:
    settings = user_settings.changed(desk={"listen": listen})
    with pytest.raises(UserError, match="set MNER_DESK_URL"):
        create(settings)
    create(settings.changed(desk={"url": "https://desk.example"}))


async def test_users_close_a_desk_on_loopback_at_once_and_for_good(open_app: FastAPI, open_settings: Settings) -> None:
    async with visitor(open_app) as browser:
        assert (await browser.get("/audit")).status_code == 200
        users_of(open_settings).add("ada", PASSWORD, ("admin",))
        assert (await browser.get("/audit")).status_code == 303
        users_of(open_settings).path.unlink()
        assert (await browser.get("/audit")).status_code == 303


@pytest.mark.parametrize(
    "desk",
    [{"url": "https://desk.example"}, {"hosts": ("desk.example",)}, {"proxies": ("127.0.0.1",)}],
    ids=["url", "hosts", "proxies"],
)
def test_a_desk_behind_a_proxy_needs_users(plain_settings: Settings, desk: dict[str, object]) -> None:
    with pytest.raises(UserError, match="nobody could sign in"):
        create(plain_settings.changed(desk=desk))


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "via", "X-Real-IP", "X-Forwarded-Host"])
async def test_an_open_desk_answers_no_proxy(open_app: FastAPI, app: FastAPI, header: str) -> None:
    async with visitor(open_app) as browser:
        answer = await browser.get("/audit", headers={header: "x"})
        assert (answer.status_code, "add users" in answer.text) == (403, True)
    async with signed_in(app, "admin") as browser:
        assert (await browser.get("/audit", headers={header: "x"})).status_code == 200


def test_a_file_of_users_that_was_named_must_have_some(plain_settings: Settings) -> None:
    with pytest.raises(UserError, match="has no users"):
        create(plain_settings.changed(desk={"users": plain_settings.home / "missing.json"}))


def test_headers_of_a_proxy_count_only_if_it_is_named(app: FastAPI, user_settings: Settings) -> None:
    assert config(app, user_settings).proxy_headers is False
    named = config(app, user_settings.changed(desk={"proxies": ("10.0.0.0/24",)}))
    assert (named.proxy_headers, named.forwarded_allow_ips) == (True, ["10.0.0.0/24"])


# Host


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("127.0.0.1:8700", True),
        ("127.0.0.1", True),
        ("localhost:9000", True),
        ("LOCALHOST:8700", True),
        ("[::1]:8700", True),
        ("desk.example", True),
        ("other.example:8443", True),
        ("evil.example:8700", False),
        ("desk.example.evil.example", False),
        ("evildesk.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.2", False),
        ("0.0.0.0:8700", False),
        ("[::ffff:127.0.0.1]", False),
        ("2130706433", False),
        ("desk.example@evil.example", False),
        ("evil.example/desk.example", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("path", ["/login", "/audit", "/static/desk.css", "/api/openapi.json"])
async def test_other_host_names_are_refused(user_settings: Settings, host: str, is_ours: bool, path: str) -> None:
    app = create(user_settings.changed(desk={"url": "https://desk.example", "hosts": ("other.example",)}))
    async with visitor(app) as browser:
        answer = await browser.get(path, headers={"Host": host})
    assert (answer.status_code != 400) is is_ours
    assert is_ours or len(answer.text.splitlines()) == 1


# Origin and token

SAME, OTHER = OWN, "http://evil.example"


@pytest.mark.parametrize("is_open", [False, True], ids=["users", "open"])
@pytest.mark.parametrize(
    ("headers", "token", "says"),
    [
        pytest.param({"Origin": SAME}, "header", "", id="origin"),
        pytest.param({"Origin": SAME}, "form", "", id="form"),
        pytest.param({"Origin": SAME}, "multipart", "", id="multipart"),
        pytest.param({"Sec-Fetch-Site": "same-origin"}, "header", "", id="site"),
        pytest.param({"Origin": SAME, "Sec-Fetch-Site": "same-origin"}, "header", "", id="both"),
        pytest.param({}, "header", "neither|neither", id="nothing"),
        pytest.param({"Origin": OTHER}, "header", "another site", id="another origin"),
        pytest.param({"Origin": "null"}, "header", "another site", id="opaque origin"),
        pytest.param({"Origin": ""}, "header", "another site", id="empty origin"),
        pytest.param({"Origin": "http://127.0.0.1:8701"}, "header", "another site", id="another port"),
        pytest.param({"Origin": "https://127.0.0.1:8700"}, "header", "another site", id="another scheme"),
        pytest.param({"Origin": "http://127.0.0.1:8700.evil.example"}, "header", "another site", id="longer origin"),
        pytest.param({"Origin": SAME, "Sec-Fetch-Site": "cross-site"}, "header", "another site", id="cross-site"),
        pytest.param({"Origin": SAME, "Sec-Fetch-Site": "same-site"}, "header", "another site", id="same-site"),
        pytest.param({"Sec-Fetch-Site": "none"}, "header", "another site", id="typed"),
        pytest.param({"Origin": SAME}, "none", "older than your session", id="no token"),
        pytest.param({"Origin": SAME}, "query", "older than your session", id="token in the address"),
        pytest.param({"Origin": SAME}, "json", "older than your session", id="token in JSON"),
        pytest.param({"Origin": SAME}, "forged", "older than your session", id="forged token"),
        pytest.param({"Origin": SAME}, "another", "older than your session", id="token of another session"),
    ],
)
async def test_only_our_own_pages_change_something(
    app: FastAPI, open_app: FastAPI, is_open: bool, headers: dict[str, str], token: str, says: str
) -> None:
    desk = open_app if is_open else app
    came = []

    @desk.post("/changed")
    async def changed(request: Request) -> dict[str, str]:
        came.append((await request.form()).get("what") if token in {"form", "multipart"} else await request.body())
        return {}

    async with visitor(desk) if is_open else signed_in(desk, "admin") as browser, visitor(app) as stranger:
        own = await csrf_of(browser, "/audit")
        browser.headers.pop("Origin")
        browser.headers.pop("Sec-Fetch-Site")
        every: dict[str, dict[str, Any]] = {
            "header": {"headers": {"X-CSRF-Token": own}},
            "form": {"data": {"csrf": own, "what": "x"}},
            "multipart": {"files": {"csrf": (None, own), "what": (None, "x")}},
            "none": {},
            "query": {"params": {"csrf": own}},
            "json": {"json": {"csrf": own}},
            "forged": {"headers": {"X-CSRF-Token": own[:-2] + "AA"}},
            "another": {"headers": {"X-CSRF-Token": await csrf_of(stranger)}},
        }
        sent = every[token]
        answer = await browser.post("/changed", **(sent | {"headers": sent.get("headers", {}) | headers}))
    if says:
        assert (answer.status_code, came) == (403, [])
        assert says.partition("|")[0] in answer.text
    else:
        assert answer.status_code == 200, answer.text
        assert came == (["x"] if token in {"form", "multipart"} else [b""])


async def test_the_public_address_is_an_origin_of_ours(user_settings: Settings) -> None:
    app = create(user_settings.changed(desk={"url": "https://desk.example"}))
    transport = httpx.ASGITransport(app)  # the proxy speaks plain HTTP to the desk
    async with httpx.AsyncClient(transport=transport, base_url="https://desk.example") as browser:
        browser.headers["Origin"] = "https://desk.example"
        assert (await sign_in(browser, "admin")).status_code == 303
        browser.cookies.clear()
        browser.headers["Origin"] = "https://other.example"
        assert (await sign_in(browser, "admin")).status_code == 403


async def test_every_page_has_another_token(app: FastAPI) -> None:
    async with signed_in(app, "admin") as browser:
        token = await csrf_of(browser, "/audit")
        assert access_of(app).csrf.token("a") != token
        assert not any(name.casefold() == "x-csrf-token" for name in (await browser.get("/audit")).headers)


# size


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunks"])
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
async def test_a_large_body_is_refused(open_app: FastAPI, is_chunked: bool, kind: str) -> None:
    @open_app.post("/taken")
    async def taken(request: Request) -> int:
        return len(await request.body())

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(1001):
            yield b"x" * 1000

    async with visitor(open_app) as browser:
        headers = {"Content-Type": kind, "X-CSRF-Token": await csrf_of(browser, "/audit")}
        small = await browser.post("/taken", content=b"x" * 1_000_000, headers=headers)
        assert (small.status_code, small.text) == (200, "1000000")
        body = chunks() if is_chunked else b"x" * 1_001_000
        assert (await browser.post("/taken", content=body, headers=headers)).status_code == 413
        headers.pop("X-CSRF-Token")
        body = chunks() if is_chunked else b"x" * 1_001_000
        assert (await browser.post("/taken", content=body, headers=headers)).status_code in {403, 413}


# number of tries


async def test_tries_for_a_name_are_limited_wherever_they_come_from(app: FastAPI, clock: Clock) -> None:
    for number in range(limits.PER_NAME):
        async with visitor(app, f"10.0.0.{number}") as browser:
            assert (await sign_in(browser, "admin", "wrong")).status_code == 403
    async with visitor(app, "10.0.1.1") as browser:
        answer = await sign_in(browser, "ADMIN")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, str(limits.WINDOW_S + 1))
        assert (await sign_in(browser, "analyst")).status_code == 303, "others may still sign in"
    clock.now += limits.WINDOW_S + 1
    async with visitor(app, "10.0.1.1") as browser:
        assert (await sign_in(browser, "admin")).status_code == 303


async def test_tries_from_an_address_are_limited_for_all_names(app: FastAPI) -> None:
    async with visitor(app, "2001:db8::1") as browser, visitor(app, "2001:db8::2") as neighbour:
        for number in range(limits.PER_ADDRESS):
            assert (await sign_in(browser, f"name{number}", "wrong")).status_code == 403
        assert (await sign_in(neighbour, "admin")).status_code == 429
    async with visitor(app, "2001:db8:0:1::1") as other:
        assert (await sign_in(other, "admin")).status_code == 303


async def test_right_passwords_and_tokens_do_not_count_against_an_address(app: FastAPI) -> None:
    async with visitor(app) as browser:
        for _ in range(limits.PER_ADDRESS + 1):
            assert (await sign_in(browser, "admin")).status_code == 303
            browser.cookies.clear()
        for _ in range(limits.PER_ADDRESS + 1):
            refused = await browser.get("/api/v1/search", headers={"Authorization": "Bearer mner_unknown"})
        assert refused.status_code == 429
        assert (await sign_in(browser, "admin")).status_code == 303


async def test_a_right_password_begins_the_count_of_its_name_again(app: FastAPI) -> None:
    async with visitor(app) as browser:
        for _ in range(2):
            for _ in range(limits.PER_NAME - 1):
                assert (await sign_in(browser, "admin", "wrong")).status_code == 403
            assert (await sign_in(browser, "admin")).status_code == 303
            browser.cookies.clear()


async def test_a_limited_try_checks_no_password(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []
    monkeypatch.setattr(access_of(app).users, "verify", lambda *given: checked.append(given))
    async with visitor(app) as browser:
        for _ in range(limits.PER_NAME + 5):
            await sign_in(browser, "admin", "wrong")
    assert len(checked) == limits.PER_NAME


def test_a_flood_of_names_locks_nobody_out_and_resets_no_count() -> None:
    memory = limits._Memory(Clock())
    for _ in range(limits.PER_NAME):
        memory.count("victim")
    for number in range(3 * limits.MOST_KEPT):
        assert memory.count(str(number)) == (1, limits.WINDOW_S)
    assert memory.count("victim") == (limits.PER_NAME + 1, limits.WINDOW_S)
    assert len(memory._counts) <= limits.MOST_KEPT


async def test_nobody_locks_a_person_out_of_the_browser_that_they_know(app: FastAPI) -> None:
    async with visitor(app) as own, visitor(app) as stranger:
        assert (await sign_in(own, "admin")).status_code == 303
        await own.post("/logout", data={"csrf": await csrf_of(own, "/audit")})
        for number in range(limits.PER_ADDRESS):
            await sign_in(stranger, "admin" if number < limits.PER_NAME else f"name{number}", "wrong")
        assert (await sign_in(stranger, "admin")).status_code == 429, "both the name and the address wait"
        assert (await sign_in(own, "analyst")).status_code == 429, "the browser is known for one name alone"
        assert (await sign_in(own, "admin")).status_code == 303


async def test_a_known_browser_has_a_limit_of_its_own_and_helps_no_other(app: FastAPI) -> None:
    async with visitor(app) as own:
        assert (await sign_in(own, "admin")).status_code == 303
        await own.post("/logout", data={"csrf": await csrf_of(own, "/audit")})
        for _ in range(limits.PER_NAME):
            assert (await sign_in(own, "admin", "wrong")).status_code == 403
        assert (await sign_in(own, "admin")).status_code == 429
        (mark,) = [cookie for cookie in own.cookies.jar if cookie.name == "mner-desk-device"]
        assert (mark.path, mark.has_nonstandard_attr("HttpOnly")) == ("/", True)
        forged = own.cookies["mner-desk-device"][:-2] + "AA"
    async with visitor(app, cookies={"mner-desk-device": forged}) as forger:
        for _ in range(limits.PER_NAME):
            await sign_in(forger, "admin", "wrong")
        assert (await sign_in(forger, "admin")).status_code == 429, "a forged mark is none"


# behind a proxy

PROXIED = [
    ({"url": "https://desk.example"}, True),
    ({"url": "https://desk.example", "proxies": ("127.0.0.1",)}, False),
    ({"hosts": ("desk.example",)}, True),
    ({"url": "http://127.0.0.1:8700"}, False),
    ({}, False),
    ({"listen": "0.0.0.0:8700", "url": "http://desk.example:8700"}, False),
    ({"listen": "0.0.0.0:8700", "url": "http://desk.example"}, True),
    ({"listen": "10.0.0.1:8700", "url": "https://desk.example"}, True),
    ({"listen": "10.0.0.1:8700"}, False),
]


@pytest.mark.parametrize(("desk", "is_warned"), PROXIED)
def test_a_proxy_that_is_not_named_gets_a_warning_with_the_remedy(
    user_settings: Settings, desk: dict[str, object], is_warned: bool
) -> None:
    told = " ".join(warnings(user_settings.changed(desk=desk).desk))
    assert ("set MNER_DESK_PROXIES to" in told) is is_warned
    assert ("unencrypted" in told) is ("listen" in desk and not str(desk.get("url", "")).startswith("https"))


async def test_one_address_for_all_locks_nobody_out(user_settings: Settings, clock: Clock) -> None:
    app = create(user_settings.changed(desk={"url": "https://desk.example"}), clock)
    options: dict[str, Any] = {"headers": {"Origin": "https://desk.example", "Sec-Fetch-Site": "same-origin"}}
    async with visitor(app, **options) as attacker, visitor(app, **options) as other:
        attacker.base_url = other.base_url = httpx.URL("https://desk.example")
        for number in range(limits.PER_ADDRESS + 5):
            assert (await sign_in(attacker, f"name{number}", "wrong")).status_code == 403
        assert (await sign_in(other, "analyst")).status_code == 303


async def test_the_log_names_a_proxy_that_no_setting_names(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    async with visitor(app, "10.9.8.7") as browser:
        for _ in range(3):
            await browser.get("/login", headers={"X-Forwarded-For": "203.0.113.1"})
    (told,) = [record.getMessage() for record in caplog.records if "X-Forwarded-For" in record.getMessage()]
    assert "set MNER_DESK_PROXIES=10.9.8.7" in told


async def test_several_desks_share_the_counts_in_redis(settings: Settings) -> None:
    clock = Clock()
    one, other = (limits.Attempts(lambda: settings.redis or "", settings.name("desk:"), clock) for _ in range(2))
    try:
        assert [await attempts.count("name a", 3) for attempts in (one, other, one)] == [0.0, 0.0, 0.0]
        assert 0 < await other.count("name a", 3) <= limits.WINDOW_S
        assert await other.count("name b", 3) == 0.0
        await one.forget("name a")
        assert await one.count("name a", 3) == 0.0
        keys = [key async for key in one._client().scan_iter(f"{settings.prefix}desk:*")]
        assert len(keys) == 2
        assert not any(b"name" in key for key in keys), "a key holds no name, which may be a password"
        assert all([0 < await one._client().ttl(key) <= limits.WINDOW_S for key in keys])
    finally:
        await one.close()
        await other.close()


async def test_tries_are_limited_while_redis_is_away() -> None:
    attempts = limits.Attempts(lambda: "redis://127.0.0.1:9", "desk:", Clock())
    assert [await attempts.count("a", 2) > 0 for _ in range(4)] == [False, False, True, True]
    await attempts.close()


# who

PEOPLE = {
    "nobody": Person("n", frozenset()),
    "reviewer": Person("r", frozenset({"reviewer"})),
    "analyst": Person("a", frozenset({"analyst"})),
    "both": Person("b", frozenset({"reviewer", "analyst"})),
    "admin": Person("c", frozenset({"admin"})),
}


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("nobody", set()),
        ("reviewer", {"reviewer"}),
        ("analyst", {"analyst"}),
        ("both", {"reviewer", "analyst"}),
        ("admin", {"reviewer", "analyst", "admin"}),
    ],
)
def test_a_role_allows_its_own_things_and_admin_all(name: str, may: set[str]) -> None:
    roles = ("reviewer", "analyst", "admin")
    assert {role for role in roles if PEOPLE[name].may(role)} == may  # type: ignore[arg-type]
