"""The pages of search and its REST API, on a real index."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import reduce
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import ClientDisconnect

from core.errors import Retry
from core.events import Account, ImageResult, Tweet
from desk.search import export, reference
from sinks.index.document import from_extraction, marker
from streams.settings import Settings
from tests.desk.conftest import served
from tests.desk.search.conftest import Fill, Named, decided, post, write
from tests.sinks.values import extraction

HOSTILE = "<script>alert(1)</script>\"><img src=x onerror=alert(1)>'{{7*7}}\u202e</p>"


class Tags(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def links(self, name: str) -> list[str]:
        """Returns the addresses of the links of this class."""
        return [str(has["href"]) for tag, has in self.tags if tag == "a" and name in str(has.get("class")).split()]


def ids(answer: Any) -> list[str]:
    return [each["id"] for each in answer["posts"]]


def test_a_search_finds_the_same_on_its_page_and_over_the_api(desk: str, fill: Fill) -> None:
    paris: Named = ("Paris", "LOC")
    fill(
        post("1", "Café in Paris & Łódź", paris, ("Łódź", "LOC"), source="mastodon:a.example"),
        post("2", "NASA in Paris", paris, ("NASA", "ORG"), days=1),
        post("3", "NASA elsewhere", ("NASA", "ORG"), days=2),
        decided("4", "Paris Hilton was seen", ("Paris Hilton", "PER")),
    )
    page = httpx.get(f"{desk}/search?q=paris")
    assert page.status_code == 200
    read = Tags(page.text)
    assert "Café in Paris (LOC) & Łódź (LOC)" in read.text
    assert page.text.count("<mark>Paris</mark>") == 3
    assert "decided by ana" in read.text
    assert sorted(read.links("hit-open")) == ["/posts/1", "/posts/2", "/posts/4"]
    assert "/search?q=paris&type=PER" in read.links("facet-value")
    found = httpx.get(f"{desk}/api/v1/search?q=paris").json()
    assert found["total"] == 3
    assert {each["value"]: each["posts"] for each in found["facets"]["type"]} == {"LOC": 2, "ORG": 1, "PER": 1}
    first = next(each for each in found["posts"] if each["id"] == "1")
    assert [first["text"][start:end] for start, end in first["matches"]] == ["Paris"]
    assert [first["text"][each["start"] : each["end"]] for each in first["mentions"]] == ["Paris", "Łódź"]
    assert first["source"] == "mastodon:a.example"
    query = "q=paris&type=LOC&type=PER&name=paris&author=ana&lang=en&source=unknown&by=model&since=2026-11-22"
    narrow = httpx.get(f"{desk}/api/v1/search?{query}&until=2026-11-22&sort=oldest&size=1").json()
    assert (ids(narrow), narrow["total"], narrow["next"]) == (["2"], 1, "")


def test_accounts_are_a_filter_of_their_own(desk: str, fill: Fill) -> None:
    accounts = (Account(start=0, end=5, name="nasa"), Account(start=9, end=13, name="esa"))
    fill(post("1", "@NASA to @esa", accounts=accounts), post("2", "NASA in Paris", ("NASA", "ORG")))
    found = httpx.get(f"{desk}/api/v1/search?account=@NASA").json()
    assert ids(found) == ["1"]
    assert found["facets"]["account"] == [
        {"value": name, "posts": 1, "chosen": name == "nasa"} for name in ("esa", "nasa")
    ]
    assert found["posts"][0]["accounts"][1] == {"start": 9, "end": 13, "name": "esa", "matched": False}
    page = httpx.get(f"{desk}/search?account=nasa").text
    assert "<mark>@NASA</mark> to @esa" in page
    assert "/search?account=esa&account=nasa" in Tags(page).links("facet-value")
    read = Tags(httpx.get(f"{desk}/posts/1").text)
    assert {"/search?account=nasa", "/search?account=esa"} <= {has.get("href") for _, has in read.tags}
    assert httpx.get(f"{desk}/api/v1/posts/1").json()["accounts"][0] == {"start": 0, "end": 5, "name": "nasa"}


def test_pages_go_forward_and_back(desk: str, fill: Fill) -> None:
    fill(*(post(f"{number:02}", f"Berlin {number}", days=number / 100) for number in range(45)))
    page, seen, numbers = f"{desk}/search?q=berlin&sort=oldest", list[str](), list[str]()
    for way in ("next", "next", "prev", "prev"):
        answer = httpx.get(page)
        read = Tags(answer.text)
        seen.append(read.links("hit-open")[0])
        numbers.append(read.text[read.text.index("–") - 2 :].split(" of ")[0].strip())
        (page,) = [desk + str(has["href"]) for tag, has in read.tags if tag == "a" and has.get("rel") == way]
    assert seen == ["/posts/00", "/posts/20", "/posts/40", "/posts/20"]
    assert numbers == ["1–20", "21–40", "41–45", "21–40"]
    assert Tags(httpx.get(page).text).links("hit-open")[0] == "/posts/00"
    cursor, found = "", list[str]()
    while True:
        answer = httpx.get(f"{desk}/api/v1/search", params={"q": "berlin", "page": cursor, "size": 7}).json()
        found += ids(answer)
        if not (cursor := answer["next"]):
            break
    assert sorted(found) == [f"{number:02}" for number in range(45)]


@pytest.mark.parametrize("path", ["/search?q=secret", "/search", "/posts/1", "/api/v1/search", "/api/v1/posts/1"])
def test_a_text_that_may_not_be_shown_stands_nowhere(desk: str, fill: Fill, path: str) -> None:
    fields: dict[str, Any] = {"source": "x", "media": [{"url": "https://a.example/secret.jpg", "alt": "secret"}]}
    fields["author"] = {"id": "secret", "name": "secret"}
    fill(post("1", "A secret of NASA", ("NASA", "ORG"), **fields))
    answer = httpx.get(desk + path)
    assert answer.status_code == 200
    typed = ('value="secret"', "secret · Search", 'class="asked">secret<', "q=secret", "<q>secret</q>")
    assert "secret" not in reduce(lambda page, part: page.replace(part, ""), typed, answer.text)
    assert "NASA" not in answer.text
    if path in {"/search", "/posts/1"}:
        assert "The terms of x keep the text of this post back" in Tags(answer.text).text
    for layout in ("csv", "jsonl"):
        exported = httpx.get(f"{desk}/search/export.{layout}").text
        assert "secret" not in exported
        assert "NASA" not in exported


def test_a_post_that_is_gone_is_found_nowhere(desk: str, fill: Fill) -> None:
    fill(post("1", "Paris"), replace(post("2", "Paris"), hidden=True), marker("3"))
    assert ids(httpx.get(f"{desk}/api/v1/search?q=paris").json()) == ["1"]
    answers = [httpx.get(f"{desk}{path}/{number}") for path in ("/posts", "/api/v1/posts") for number in range(1, 5)]
    assert [answer.status_code for answer in answers] == [200, 404, 404, 404] * 2


def test_a_posts_page_shows_all_that_the_index_holds(desk: str, fill: Fill) -> None:
    text = "NASA in Paris"
    fields: dict[str, Any] = {"edit": 3, "reply_to": "77", "quote_of": "78", "lang": "de", "source": "rss:wire"}
    seen = extraction(Tweet(id="2", text=text), image=ImageResult(status="ok", url="https://example.org/a.jpg"))
    fill(post("1", text, ("NASA", "ORG"), ("Paris", "LOC"), **fields), from_extraction(seen, []))
    assert "Imageread" in Tags(httpx.get(f"{desk}/posts/2").text).text
    read = Tags(httpx.get(f"{desk}/posts/1").text)
    for shown in ("NASA", "90%", "0.1", "0.05", "rss:wire", "ana", "a-1", "de", "2026-11-21 12:00", "3", "tiny"):
        assert shown in read.text
    addresses = [has.get("href") for _, has in read.tags]
    assert {"/posts/77", "/posts/78", "/api/v1/posts/1", "/search?q=%22NASA%22"} <= set(addresses)
    told = httpx.get(f"{desk}/api/v1/posts/1").json()
    assert (told["text"], told["edit"], told["reply_to"], told["decided_by"]) == (text, 3, "77", "model")
    assert [(each["text"], each["epistemic"]) for each in told["mentions"]] == [("NASA", 0.05), ("Paris", 0.05)]


def test_hostile_posts_are_only_text(desk: str, fill: Fill) -> None:
    fields: dict[str, Any] = {"author": {"id": HOSTILE, "name": HOSTILE}, "lang": "</bdi><b>", "source": HOSTILE[:60]}
    fields["media"] = [{"url": f"javascript:alert(1)//{HOSTILE}", "alt": HOSTILE}]
    fill(post("1", "words", ("words", "LOC")))
    expected = {path: Tags(httpx.get(desk + path).text) for path in ("/search", "/posts/1")}
    fill(post("1", HOSTILE, ("onerror", "LOC"), edit=1, **fields))
    for path, before in expected.items():
        after = Tags(httpx.get(desk + path).text)
        for tag in ("script", "svg", "iframe", "style"):
            assert [has for name, has in after.tags if name == tag and has.get("class") != "icon"] == [
                has for name, has in before.tags if name == tag and has.get("class") != "icon"
            ]
        assert not [has for _, has in after.tags for name in has if name.startswith("on")]
        for _, has in after.tags:
            for name in ("href", "src", "action"):
                assert str(has.get(name) or "/").startswith(("/", "#"))
    hostile = httpx.get(f"{desk}/search", params={"q": HOSTILE, "name": HOSTILE, "source": HOSTILE}).text
    assert [has for name, has in Tags(hostile).tags if name == "img"] == []
    assert "49" not in Tags(httpx.get(f"{desk}/search", params={"q": "{{7*7}}"}).text).text


SLIPS = (
    '"',
    '"open',
    "-",
    "--",
    "*",
    "AND OR NOT",
    "((",
    "a:b",
    "/re/",
    "\\",
    "~2",
    "^",
    "\u202e",
    "\ud83d",
    "\0",
    "%",
)


@pytest.mark.parametrize("words", SLIPS)
def test_a_slip_in_the_syntax_is_no_error(desk: str, fill: Fill, words: str) -> None:
    query = words.encode("utf-8", "surrogatepass")
    assert httpx.get(f"{desk}/search", params={"q": query}).status_code == 200


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("q=nasa&type=FOO", "type: must be one of PER, LOC, ORG, MISC"),
        ("q=nasa&sort=up", "sort: must be one of best, newest, oldest"),
        ("q=nasa&page=nonsense", "page: the cursor belongs to no search"),
        ("q=nasa&since=yesterday", "since: must be a day such as 2026-11-30"),
        ("q=nasa" + "+word" * 300, "the query is too long"),
    ],
)
def test_a_wrong_address_says_what_is_wrong_and_keeps_the_words(desk: str, fill: Fill, query: str, told: str) -> None:
    page = httpx.get(f"{desk}/search?{query}")
    assert page.status_code == 400
    assert told in page.text
    assert 'value="nasa' in page.text
    api = httpx.get(f"{desk}/api/v1/search?{query}")
    assert api.status_code in {400, 422}
    assert api.json()["error"]


def test_nothing_found_offers_to_ask_for_less(desk: str, fill: Fill) -> None:
    fill(post("1", "NASA in Paris", ("NASA", "ORG")))
    read = Tags(httpx.get(f"{desk}/search?q=nasa&type=PER&lang=en").text)
    assert "No post matches" in read.text
    assert {"/search?q=nasa&lang=en", "/search?q=nasa&type=PER", "/search?q=nasa", "/search?type=PER&lang=en"} <= {
        str(has.get("href")) for _, has in read.tags
    }


def test_while_elasticsearch_is_away_the_pages_say_so(desk_settings: Settings, free_port: int) -> None:
    with served(desk_settings.changed(elasticsearch=f"http://127.0.0.1:{free_port}")) as desk:
        for path in ("/search?q=a", "/posts/1", "/search/export.csv", "/api/v1/search", "/api/v1/export"):
            answer = httpx.get(desk + path, timeout=60)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        page = httpx.get(f"{desk}/search?q=a", timeout=60).text
        assert 'href="/search?q=a"' in page
        assert "Try again" in page


async def test_only_a_few_exports_run_at_once(
    desk: str, desk_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MOST_AT_ONCE", 1)
    words = " ".join(f"{number:x}" for number in range(5000))  # more in all than any buffer takes
    await write(desk_settings, *(post(f"{number:04}", words) for number in range(800)))
    async with httpx.AsyncClient(base_url=desk, headers={"Accept-Encoding": "identity"}, timeout=60) as client:
        async with client.stream("GET", "/api/v1/export") as running:
            assert running.headers["X-Total-Count"] == "800"
            parts = aiter(running.aiter_raw())
            await anext(parts)
            refused = await client.get("/api/v1/export")
            assert refused.status_code == 429
            assert "you run 1 exports already" in refused.json()["error"]
        while (await client.get("/api/v1/export", params={"q": "nothing"})).status_code != 200:
            await asyncio.sleep(0.01)  # the desk has not yet seen that the first one is cancelled


async def test_exports_at_the_same_moment_do_not_pass_the_limit_together(
    desk: str, desk_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(desk_settings, post("1", "NASA"))
    began, more = threading.Semaphore(0), threading.Event()

    async def slow(*given: Any) -> int:
        began.release()
        while not more.is_set():
            await asyncio.sleep(0.01)
        raise Retry("Elasticsearch is away")

    monkeypatch.setattr(export, "total", slow)
    async with httpx.AsyncClient(base_url=desk, timeout=60) as client:
        waiting = [asyncio.create_task(client.get("/api/v1/export")) for _ in range(export.MOST_AT_ONCE)]
        for _ in waiting:
            assert await asyncio.to_thread(began.acquire, timeout=60)
        assert (await client.get("/api/v1/export")).status_code == 429
        more.set()
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {503}
        monkeypatch.undo()
        assert (await client.get("/api/v1/export")).status_code == 200, "those that failed hold no place"


async def test_an_export_that_is_never_sent_holds_no_place() -> None:
    running = Counter[str]()

    async def parts() -> AsyncIterator[bytes]:
        yield b""

    async def gone(message: Any) -> None:
        raise OSError("the browser is gone")

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    response = export._Export(export._Place(running, "ana"), parts())
    assert running == {"ana": 1}
    with pytest.raises(ClientDisconnect):
        await response({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, gone)
    assert running == {}
    export._Place(running, "ana")  # nobody holds it
    assert running == {}


def test_the_audit_log_says_who_saw_and_exported_what(desk: str, desk_settings: Settings, fill: Fill) -> None:
    fill(post("1", "NASA in Paris", ("NASA", "ORG")), post("2", "Paris"))
    for path in ("/search?q=nasa", "/posts/1", "/search/export.csv?q=paris", "/api/v1/posts/2"):
        assert httpx.get(desk + path).status_code == 200
    log = desk_settings.home / "desk" / "audit.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["action"], line.get("typed"), line.get("post", line.get("posts"))) for line in lines] == [
        ("searched", ["q"], ["1"]),
        ("seen", None, "1"),
        ("exported", ["q"], 2),
        ("seen", None, "2"),
    ]
    assert not any(word in log.read_text().lower() for word in ("paris", "nasa"))


def test_the_reference_describes_every_operation_and_parameter(desk: str) -> None:
    description = httpx.get(f"{desk}/api/openapi.json").json()
    read = Tags(httpx.get(f"{desk}/api").text)
    paths = {path: about for path, about in description["paths"].items() if path.startswith(reference.PREFIX)}
    assert set(paths) >= {"/api/v1/search", "/api/v1/posts/{post_id}", "/api/v1/export"}
    for path, methods in paths.items():
        for method, about in methods.items():
            assert f"{method.upper()} {path}" in read.text
            assert all(parameter["name"] in read.text for parameter in about.get("parameters", ()))
            assert about["summary"]
    assert f'"{desk}/api/v1/search?q=cape+canaveral&type=ORG&sort=newest&size=5"' in read.text
    for name in reference.values(description):
        assert ("a", f"#value-{name}") in {(tag, has.get("href")) for tag, has in read.tags}
    assert httpx.get(f"{desk}/api/v1/search?q=cape+canaveral&type=ORG&sort=newest&size=5").status_code in {200, 503}


def test_the_documents_describe_every_parameter() -> None:
    from desk.search.api import AskedFile, AskedPage

    page = (Path(__file__).resolve().parents[3] / "docs" / "desk-api.md").read_text()
    for name in AskedPage.model_fields.keys() | AskedFile.model_fields.keys():
        assert f"`{name}`" in page
