"""The pages of names and their REST API, on a real index and a real Kafka."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from elasticsearch import Elasticsearch

from core.terms import Sources, Terms
from desk.search import posts as search_posts
from sinks.searching.access import Access
from streams.settings import Settings
from tests.desk.conftest import own_headers, served
from tests.desk.search.conftest import Fill, decided, post, write

NOW = datetime.now
ODD = ["AC/DC", "#1 ../..", "..", "?name=x&b", "Ünïcode 東京", "a%2Fb", "<b>x</b>", "'quoted\""]


def read(address: str, path: str, **params: Any) -> Any:
    """Returns the answer of the API, once the desk has read the corrections."""
    for _ in range(500):
        answer = httpx.get(f"{address}/api/v1/entities{path}", params=params)
        assert answer.status_code == 200, answer.text
        if not isinstance(answer.json(), dict) or answer.json().get("corrected", True):
            return answer.json()
        time.sleep(0.02)
    raise AssertionError("the corrections were not read")


def counts(address: str, **params: Any) -> dict[str, int]:
    return {one["name"]: one["posts"] for one in read(address, "", period="all", **params)["names"]}


def tell(address: str, **body: str) -> httpx.Response:
    read(address, "")
    return httpx.post(f"{address}/api/v1/entities/corrections", json=body, headers=own_headers(address))


def nasa(fill: Fill) -> None:
    fill(
        post("1", "NASA is here", ("NASA", "ORG"), source="a"),
        post("2", "nasa and #nasa", ("nasa", "ORG"), ("#nasa", "ORG"), source="a"),
        post("3", "The space agency and NASA", ("space agency", "ORG"), ("NASA", "MISC"), source="b", lang="de"),
        post("4", "Only the space agency", ("space agency", "ORG"), source="b"),
        post("5", "Paris", ("Paris", "LOC"), source="b"),
    )


def test_an_alias_holds_at_once_in_lists_pages_and_search_and_can_be_taken_back(desk: str, fill: Fill) -> None:
    nasa(fill)
    assert counts(desk) == {"nasa": 3, "space agency": 2, "paris": 1}
    answer = tell(desk, kind="same", name="Space Agency", of="NASA")
    assert answer.status_code == 201
    assert counts(desk) == {"nasa": 4, "paris": 1}
    page = read(desk, "/page", name="space agency")
    assert (page["name"], page["written"], page["names"]) == ("nasa", "NASA", ["nasa", "space agency"])
    assert [hit["id"] for hit in page["latest"]] == ["1", "2", "3", "4"]
    assert {each["matched"] for hit in page["latest"] for each in hit["mentions"]} == {True}
    for name in ("nasa", "space agency", "#NASA"):
        found = httpx.get(f"{desk}/api/v1/search", params={"name": name}).json()
        assert sorted(hit["id"] for hit in found["posts"]) == ["1", "2", "3", "4"], name
        assert all(each["matched"] for hit in found["posts"] for each in hit["mentions"])
        facet = {each["value"]: each["posts"] for each in found["facets"]["name"]}
        assert facet == {name: 4, "paris": 1}
    lines = httpx.get(f"{desk}/api/v1/export", params={"name": "space agency"}).text.splitlines()
    assert len(lines) == 4
    both = httpx.get(f"{desk}/api/v1/search", params={"name": "nasa", "type": "MISC"}).json()
    assert [hit["id"] for hit in both["posts"]] == ["3"]

    (told,) = read(desk, "/corrections")
    assert (told["kind"], told["name"], told["of"], told["withdrawn"]) == ("same", "Space Agency", "NASA", False)
    gone = httpx.delete(f"{desk}/api/v1/entities/corrections", params={"key": told["key"]}, headers=own_headers(desk))
    assert gone.json()["withdrawn"]
    assert counts(desk) == {"nasa": 3, "space agency": 2, "paris": 1}
    assert httpx.get(f"{desk}/api/v1/search", params={"name": "nasa"}).json()["total"] == 3


def test_a_spelling_that_is_something_else_leaves_its_name(desk: str, fill: Fill) -> None:
    fill(
        post("1", "US votes", ("US", "LOC")),
        post("2", "follow us", ("us", "MISC")),
        post("3", "United States", ("United States", "LOC")),
    )
    assert tell(desk, kind="split", surface="US", name="United States").status_code == 201
    assert counts(desk) == {"united states": 2, "us": 1}
    found = httpx.get(f"{desk}/api/v1/search", params={"name": "us"}).json()
    assert [hit["id"] for hit in found["posts"]] == ["2"]
    assert {each["value"]: each["posts"] for each in found["facets"]["name"]} == {"us": 1, "united states": 2}
    assert read(desk, "/page", name="united states")["surfaces"] == {"US": 1, "United States": 1}


def test_corrections_outlive_the_desk_and_the_index(desk_settings: Settings, fill: Fill) -> None:
    nasa(fill)
    with served(desk_settings) as address:
        assert tell(address, kind="same", name="space agency", of="nasa").status_code == 201

    with Elasticsearch(str(desk_settings.elasticsearch)) as client:
        client.indices.delete(index=list(client.indices.get_alias(name=desk_settings.name("mentions"))))
    fill()
    with served(desk_settings) as address:
        assert read(address, "/page", name="nasa")["names"] == ["nasa", "space agency"]
        fill(post("9", "space agency", ("space agency", "ORG")))
        assert counts(address) == {"nasa": 1}
        assert len(read(address, "/corrections")) == 1


def test_the_desk_starts_and_says_so_while_the_corrections_cannot_be_read(
    desk_settings: Settings, fill: Fill, free_port: int
) -> None:
    nasa(fill)
    with served(desk_settings.changed(kafka=f"127.0.0.1:{free_port}")) as address:
        page = httpx.get(f"{address}/entities?period=all")
        assert page.status_code == 200
        assert "Corrections are not read yet" in page.text
        assert not httpx.get(f"{address}/api/v1/entities?period=all").json()["corrected"]
        answer = httpx.post(
            f"{address}/api/v1/entities/corrections",
            json={"kind": "same", "name": "a", "of": "b"},
            headers=own_headers(address),
        )
        assert answer.status_code == 503
        assert httpx.get(f"{address}/api/v1/entities/corrections").status_code == 503


def test_trends_say_how_sure_they_are(desk: str, fill: Fill) -> None:
    now = NOW(UTC)
    documents = []
    for n in range(120):
        today = n % 2
        named = [("Oslo", "LOC")] if n % 4 < 2 else []
        if today and n < 60:
            named.append(("Comet", "MISC"))
        when = now - timedelta(hours=1 if today else 25)
        words = " ".join(["Words", *(name for name, _ in named)])
        documents.append(post(f"{n}", words, *named, created_at=when))  # type: ignore[arg-type]
    fill(*documents)
    found = read(desk, "/trending", period="24h")
    (comet,) = found["names"]
    assert (comet["name"], comet["written"], comet["posts"], comet["before"]) == ("comet", "Comet", 30, 0)
    assert (comet["sure"], comet["ratio"], comet["high"], list(comet["types"])) == ("new", None, None, ["MISC"])
    assert (found["posts"], found["before"]) == (60, 60)
    page = httpx.get(f"{desk}/entities?period=24h").text
    assert 'class="sure sure-new"' in page
    refused = httpx.get(f"{desk}/api/v1/entities/trending?period=all")
    assert refused.status_code == 400
    assert "no beginning" in refused.json()["error"]


def test_any_text_can_be_a_name(desk: str, fill: Fill) -> None:
    fill(*(post(f"{n}", f"{name} !", (name, "ORG")) for n, name in enumerate(ODD)))
    listed = httpx.get(f"{desk}/entities?period=all").text
    for name in ODD:
        page = httpx.get(f"{desk}/entities/name", params={"name": name})
        assert page.status_code == 200, name
        assert "<b>x</b>" not in page.text
        (hit,) = read(desk, "/page", name=name)["latest"]
        assert name in hit["text"]
    assert listed.count('class="name-link"') == len(ODD)
    begun = read(desk, "/suggestions", q="#1 ..")
    assert [one["posts"] for one in begun] == [1]
    assert read(desk, "/suggestions", q=".*") == []


def test_names_of_posts_that_nobody_may_find_count_nowhere(
    desk: str, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = {
        name: Terms(may_train=False, may_show_text=name == "open", delete_within_hours=24)
        for name in ("open", "closed", "unknown")
    }
    cutoff = NOW(UTC) - timedelta(days=100)
    monkeypatch.setattr(search_posts, "Access", lambda _sources, _cutoff, names: Access(Sources(terms), cutoff, names))
    fill(
        post("1", "Oslo", ("Oslo", "LOC"), source="open", received_at=NOW(UTC)),
        post("2", "Oslo", ("Oslo", "LOC"), source="closed", received_at=NOW(UTC)),
        post("3", "Oslo", ("Oslo", "LOC"), source="open", received_at=cutoff - timedelta(days=1)),
    )
    assert counts(desk) == {"oslo": 1}
    assert [hit["id"] for hit in read(desk, "/page", name="oslo")["latest"]] == ["1"]
    assert read(desk, "/suggestions", q="os") == [{"name": "oslo", "posts": 1}]


def test_what_cannot_be_told_is_refused_with_its_reason(desk: str, fill: Fill) -> None:
    nasa(fill)
    for body, reason in (
        ({"kind": "same", "name": "#nasa", "of": "NASA"}, "are one name already"),
        ({"kind": "same", "name": "nasa"}, "of: say which name"),
        ({"kind": "split", "name": "nasa"}, "surface: say which spelling"),
        ({"kind": "split", "name": "nasa", "surface": "NASA"}, "give the spelling a name of its own"),
        ({"kind": "same", "name": "\u200b", "of": "NASA"}, "must be text that can be seen"),
    ):
        answer = tell(desk, **body)
        assert answer.status_code == 400, body
        assert reason in answer.json()["error"]
    form = {"kind": "same", "page": "nasa", "name": "#NASA"}
    page = httpx.post(f"{desk}/entities/corrections", data=form, headers=own_headers(desk))
    assert page.status_code == 400
    assert "are one name already" in page.text
    unknown = httpx.delete(f"{desk}/api/v1/entities/corrections?key=none", headers=own_headers(desk))
    assert unknown.status_code == 404
    assert read(desk, "/corrections") == []


def test_a_correction_is_in_the_audit_log_without_its_names(desk: str, desk_settings: Settings, fill: Fill) -> None:
    nasa(fill)
    tell(desk, kind="same", name="space agency", of="NASA")
    written = (desk_settings.home / "desk" / "audit.jsonl").read_text()
    assert len([line for line in map(json.loads, written.splitlines()) if line["action"] == "joined names"]) == 1
    assert "space agency" not in written, "names come out of posts, which may be erased"


def test_decided_posts_count_as_well(desk: str, desk_settings: Settings) -> None:
    asyncio.run(write(desk_settings, decided("4", "Paris Hilton was seen", ("Paris Hilton", "PER"))))
    assert counts(desk) == {"paris hilton": 1}
