"""The audit log: what stands in it, how it rotates, and what a spoiled line does."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from pathlib import Path

import pytest
from fastapi import FastAPI, Request

from core.errors import Stop
from desk.access import audit
from desk.access.audit import AuditLog
from local.lock import alone
from sinks.searching.state import SearchState
from streams.settings import Settings
from tests.desk.access.conftest import Clock, access_of, csrf_of, sign_in, signed_in, visitor


@pytest.fixture
def log(tmp_path: Path, clock: Clock) -> AuditLog:
    return AuditLog(tmp_path / "desk" / "audit.jsonl", clock, days=30)


def lines(tmp_path: Path) -> list[str]:
    return (tmp_path / "desk" / "audit.jsonl").read_text().splitlines()


def test_an_action_is_one_line_of_a_private_file(log: AuditLog, tmp_path: Path) -> None:
    log.write("ada", "password", "10.0.0.1", "search", query="a\nb\u202e", hits=3, posts=["1", "2"])
    (line,) = lines(tmp_path)
    assert json.loads(line) == {
        "at": "2027-01-15T08:00:00.000+00:00", "person": "ada", "way": "password", "address": "10.0.0.1",
        "action": "search", "query": "a b", "hits": 3, "posts": ["1", "2"],
    }  # fmt: skip
    assert (tmp_path / "desk" / "audit.jsonl").stat().st_mode & 0o777 == 0o600
    (entry,) = log.latest(9)
    assert (entry.person, entry.action, entry.what["hits"]) == ("ada", "search", 3)


def test_a_value_has_a_bound(log: AuditLog) -> None:
    log.write("a", "", "", "bulk", query="x" * 10_000, posts=[str(number) for number in range(5000)])
    (entry,) = log.latest(1)
    posts = entry.what["posts"]
    assert isinstance(posts, list)
    assert (len(str(entry.what["query"])), len(posts), entry.what["posts_count"]) == (500, 200, 5000)


def test_the_files_rotate_and_have_a_bound(log: AuditLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MOST_BYTES", 500)
    monkeypatch.setattr(audit, "MOST_TOTAL", 3500)
    for number in range(100):
        log.write("a", "", "", "seen", post=str(number))
    files = sorted(path for path in (tmp_path / "desk").iterdir() if path.suffix != ".lock")
    assert sum(path.stat().st_size for path in files) < 3500 + 700
    assert all(path.stat().st_size < 700 and path.stat().st_mode & 0o777 == 0o600 for path in files)
    posts = [str(entry.what["post"]) for entry in log.latest(1000)]
    assert posts == [str(number) for number in range(99, 99 - len(posts), -1)], "newest first, over all files"
    assert len(posts) > 20


def test_a_day_goes_when_it_is_too_old_also_while_nobody_uses_the_desk(
    log: AuditLog, tmp_path: Path, clock: Clock
) -> None:
    for number in range(40):
        log.write("a", "", "", "seen", day=number)
        clock.now += 86_400
    assert [entry.what["day"] for entry in log.latest(99)] == list(range(39, 9, -1)), "30 days with the present one"
    log.forget()
    assert [entry.what["day"] for entry in log.latest(99)] == list(range(39, 10, -1)), "the present day has no entry"
    clock.now += 30 * 86_400
    log.forget()
    assert log.latest(99) == []
    assert [path.name for path in (tmp_path / "desk").iterdir()] == ["audit.jsonl.lock"]


def test_a_spoiled_first_line_keeps_no_file_for_ever(log: AuditLog, tmp_path: Path) -> None:
    log.write("a", "", "", "seen")
    (tmp_path / "desk" / "audit.jsonl").write_bytes(b"\xff\n")  # of today, and the clock of the test is ahead
    log.forget()
    assert [path.name for path in (tmp_path / "desk").iterdir()] == ["audit.jsonl.lock"]


@pytest.mark.parametrize(
    "spoiled",
    [b'{"at": "2026', b"null", b"[]", b'"x"', b"\xff\xfe", b'{"at": "x"}', b"[" * 100_000, b'{"person": {}}', b""],
)
def test_a_spoiled_line_hides_no_other(log: AuditLog, tmp_path: Path, spoiled: bytes) -> None:
    log.write("a", "", "", "before")
    with (tmp_path / "desk" / "audit.jsonl").open("ab") as file:
        file.write(spoiled)
    log.write("a", "", "", "after")
    assert [entry.action for entry in log.latest(9)] == ["after", "before"]


def test_writers_at_the_same_time_lose_nothing(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MOST_BYTES", 10_000)

    def write(name: str) -> None:
        for number in range(50):
            log.write(name, "", "", "seen", number=number)

    threads = [threading.Thread(target=write, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({(entry.person, entry.what["number"]) for entry in log.latest(1000)}) == 200


async def test_a_look_for_a_person_goes_through_a_part_of_a_large_log_and_says_so(
    log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MOST_BYTES", 1_000)
    monkeypatch.setattr(audit, "MOST_SEARCHED", 5_000)
    parsed: list[bytes] = []
    read = audit._entry

    def counted(line: bytes) -> audit.Entry | None:
        parsed.append(line)
        return read(line)

    monkeypatch.setattr(audit, "_entry", counted)
    log.write("zoé", "", "", "early")
    for number in range(100):
        log.write("bob", "", "", "seen", post=str(number), person_named="zoé")
    log.write('zoé "', "", "", "late")
    for person, whole in (("zoé", False), ('zoé "', False), ("bob", True)):
        page = await log.page(10, person)
        assert (len(page.entries), page.is_whole) == ({"zoé": 0, 'zoé "': 1, "bob": 10}[person], whole)
    assert len(parsed) == 11, "lines of others are not parsed"
    monkeypatch.setattr(audit, "MOST_SEARCHED", 10**9)
    page = await log.page(10, "zoé", "early")
    assert ([entry.action for entry in page.entries], page.is_whole) == (["early"], True)


async def test_who_came_in_and_who_did_not_is_noted(app: FastAPI) -> None:
    async with visitor(app, "10.0.0.1") as browser:
        await sign_in(browser, "analyst", "wrong")
        await sign_in(browser, "my secret passphrase", "")
        await sign_in(browser, "analyst")
        for _ in range(3):
            assert (await browser.get("/audit")).status_code == 403
        await browser.post("/logout", data={"csrf": await csrf_of(browser, "/nowhere")})
    found = [(entry.person, entry.action, entry.what) for entry in reversed(access_of(app).audit.latest(9))]
    assert found == [
        ("", "login failed", {"name": "analyst"}),
        ("", "login failed", {"name": "unknown"}),
        ("analyst", "login", {}),
        ("analyst", "refused", {"status": 403, "method": "GET", "path": "/audit"}),
        ("analyst", "logout", {}),
    ]
    assert {entry.address for entry in access_of(app).audit.latest(9)} == {"10.0.0.1"}


async def test_the_page_filters_by_person_and_action_and_escapes(app: FastAPI) -> None:
    log = access_of(app).audit
    log.write("<script>alert(1)</script>", "oidc", "::1", "search", query='"><img src=x onerror=alert(2)>')
    for number in range(250):
        log.write("bob", "token", "10.0.0.2", "seen", post=f"p{number}")
    async with signed_in(app, "admin") as browser:
        everything = (await browser.get("/audit")).text
        assert everything.count("<tr>") == 201
        assert ">p249<" in re.sub(r"\s", "", everything) or "p249" in everything
        assert "p20<" not in everything
        some = (await browser.get("/audit", params={"action": "search"})).text
        assert some.count("<tr>") == 2
        assert "<script>alert" not in some
        assert "<img" not in some
        assert "&lt;script&gt;" in some
        assert (await browser.get("/audit", params={"person": "admin", "action": "login"})).text.count("<tr>") == 2
        none = (await browser.get("/audit", params={"person": "<b>"})).text
        assert "Nothing matches this filter." in none
        assert "<b>" not in none


async def test_nothing_is_done_without_a_trace(open_app: FastAPI, open_settings: Settings) -> None:
    @open_app.get("/api/seen")
    async def seen(request: Request) -> dict[str, str]:
        await audit.note(request, "seen", post="1")
        return {"text": "secret"}

    async with visitor(open_app) as browser:
        assert (await browser.get("/api/seen")).status_code == 200
        (entry,) = access_of(open_app).audit.latest(1)
        assert (entry.person, entry.way) == (access_of(open_app).owner.name, "owner")
        path = open_settings.home / "desk" / "audit.jsonl"
        path.unlink()
        path.mkdir()
        answer = await browser.get("/api/seen")
        assert (answer.status_code, "secret" in answer.text) == (503, False)
    with pytest.raises(Stop, match="cannot be written"):
        access_of(open_app).audit.write("a", "", "", "b")


async def test_the_loop_goes_on_while_another_process_holds_the_log(open_app: FastAPI, open_settings: Settings) -> None:
    @open_app.get("/api/seen")
    async def seen(request: Request) -> dict[str, str]:
        await audit.note(request, "seen", post="1")
        return {}

    async with visitor(open_app) as browser:
        assert (await browser.get("/api/seen")).status_code == 200
        with alone(open_settings.home / "desk" / "audit.jsonl.lock"):
            waiting = asyncio.create_task(browser.get("/api/seen"))
            for _ in range(20):
                assert (await browser.get("/static/desk.css")).status_code == 200
            assert not waiting.done(), "nothing is answered before it is noted"
        assert (await waiting).status_code == 200
    assert len(access_of(open_app).audit.latest(9)) == 2


async def test_what_a_page_asks_for_again_and_again_is_noted_once_in_ten_minutes(
    open_app: FastAPI, clock: Clock
) -> None:
    @open_app.get("/api/images/{post}")
    async def image(request: Request, post: str) -> dict[str, str]:
        await audit.note_once(request, "seen image", post, post=post)
        return {}

    async with visitor(open_app) as browser:
        for post in ("1", "2", "1"):
            await browser.get(f"/api/images/{post}")
        clock.now += audit.ONCE_S
        await browser.get("/api/images/1")
    assert [entry.what["post"] for entry in reversed(access_of(open_app).audit.latest(9))] == ["1", "2", "1"]


def test_a_search_is_noted_without_what_was_typed() -> None:
    state = SearchState(
        words="Jane Doe", names=("jane",), authors=("doe",), sources=("rss:jane",), types=("PER",), page="jane"
    )
    noted = audit.audited(state)
    assert noted == {"filters": "type=PER", "typed": ["q", "name", "author", "source"]}
    assert audit.audited(SearchState()) == {}
