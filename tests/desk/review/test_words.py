"""The API of the review by name, on a real queue and a real topic."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from core.errors import Retry
from core.events import Decision, ReviewTask
from core.terms import Sources, Terms
from desk.access.access import users_of
from desk.app import create
from desk.review.bulk_topic import decisions_of
from desk.services import LazyDecisionTopic
from sinks.queue.queue import ReviewQueue
from sinks.queue.values import Counts
from streams import servers, topics
from streams.settings import Settings
from tests.desk.access.conftest import PASSWORD, signed_in
from tests.desk.conftest import own_headers, served
from tests.desk.review.made import decisions, named, outcome, put, task_of, texts

API = "/api/v1/review/names"
NASA = {"name": "NASA", "type": "ORG"}


def about(post: str, text: str = "NASA is on the moon", words: str = "NASA", **tweet: Any) -> ReviewTask:
    return task_of(post, text, named(text, words, "ORG"), **tweet)


def both(post: str) -> ReviewTask:
    text = "NASA and ESA"
    return task_of(post, text, named(text, "NASA", "ORG"), named(text, "ESA", "ORG"))


@pytest.fixture
async def queue(desk_settings: Settings) -> AsyncIterator[ReviewQueue]:
    queue = ReviewQueue(str(desk_settings.redis), desk_settings.name("review:"))
    yield queue
    await queue.close()


@asynccontextmanager
async def client(desk: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=desk + API, timeout=30, headers=own_headers(desk)) as browser:
        yield browser


@pytest.fixture
async def api(desk: str) -> AsyncIterator[httpx.AsyncClient]:
    async with client(desk) as browser:
        yield browser


async def names(api: httpx.AsyncClient, **asked: Any) -> dict[str, Any]:
    answer = await api.get(str(api.base_url).rstrip("/"), params=asked)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def lines(api: httpx.AsyncClient, **asked: Any) -> list[dict[str, Any]]:
    answer = await api.get("/lines", params=NASA | asked)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["lines"])


def settling(seen: Sequence[dict[str, Any]], **changed: Any) -> dict[str, Any]:
    chosen = [{"post": line["post"], "seen": line["seen"]} for line in seen]
    return NASA | {"action": "accept", "lines": chosen, "looked_at": len(chosen)} | changed


async def settled(api: httpx.AsyncClient, sent: dict[str, Any], bulk: str = "") -> dict[str, Any]:
    bulk = bulk or (await api.post("/bulks")).json()["id"]
    answer = await api.put(f"/bulks/{bulk}", json=sent)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def undone(api: httpx.AsyncClient, bulk: str) -> dict[str, Any]:
    answer = await api.post(f"/bulks/{bulk}/retraction")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_names_come_the_largest_group_first_in_pages(api: httpx.AsyncClient, desk_settings: Settings) -> None:
    await put(desk_settings, [about("1"), both("2"), about("3", "#nasa!", "nasa"), about("4", "Esa", "Esa")])
    first = await names(api, limit=1)
    assert first == {"groups": [{"name": "nasa", "type": "ORG", "tasks": 3}], "next": 1}
    rest = await names(api, offset=1)
    assert rest == {"groups": [{"name": "esa", "type": "ORG", "tasks": 2}], "next": None}
    assert (await names(api, q="ÉS"))["groups"] == rest["groups"]
    assert await names(api, q="no such name") == {"groups": [], "next": None}
    assert (await names(api, q="a", limit=1))["next"] == 1


async def test_lines_come_in_pages_with_their_holders(
    api: httpx.AsyncClient, desk_settings: Settings, queue: ReviewQueue
) -> None:
    await put(desk_settings, [both("1"), about("2", author={"name": "a\u202e<b>"}, source="bluesky"), about("3")])
    await queue.take("1", "marlen", 60)
    found = await lines(api)
    assert {line["post"]: (line["holder"], line["others"]) for line in found} == {
        "1": ("marlen", 1),
        "2": (None, 0),
        "3": (None, 0),
    }
    assert [line["author"] for line in found if line["post"] == "2"] == ["a<b>"]
    page = (await api.get("/lines", params=NASA | {"limit": 2})).json()
    assert page["next"] == 2
    assert [line["post"] for line in page["lines"] + await lines(api, offset=2)] == [line["post"] for line in found]


async def test_a_group_is_settled_once_and_one_undo_brings_all_back_after_a_restart(
    api: httpx.AsyncClient, desk_settings: Settings, queue: ReviewQueue
) -> None:
    await put(desk_settings, [both("00"), *(about(f"{number:02}") for number in range(1, 37))])
    before = {entry.task.tweet.id: entry.task for entry in await queue.list(100)}
    sent = settling([line for line in await lines(api) if line["post"] not in {"07", "08"}], looked_at=37)
    made = await settled(api, sent)
    assert (len(made["posts"]), made["left"]) == (35, [])
    assert await settled(api, sent, made["id"]) == made, "a repeated call says the same"
    stored = decisions(desk_settings)
    assert len(stored) == 35
    assert {(one.bulk_id, one.looked_at) for one in stored} == {(made["id"], 37)}
    assert {one.kind for one in stored if one.task.tweet.id != "00"} == {"settle"}
    assert [one.kind for one in stored if one.task.tweet.id == "00"] == ["answer"]
    assert {entry.task.tweet.id for entry in (await queue.group("NASA", "ORG", 100))[0]} == {"07", "08"}

    with served(desk_settings) as again:
        async with client(again) as later:
            back = await undone(later, made["id"])
            assert (len(back["posts"]), back["left"]) == (35, [])
            assert (back["name"], back["type"]) == ("nasa", "ORG")
            answer = await later.post(f"/bulks/{made['id']}/retraction")
            assert (answer.status_code, "nothing is left to undo" in answer.text) == (409, True)
    assert {entry.task.tweet.id: entry.task for entry in await queue.list(100)} == before
    retracted = [one for one in decisions(desk_settings) if one.kind == "retract"]
    assert (len(retracted), {one.bulk_id for one in retracted}) == (35, {made["id"]})


async def test_a_call_whose_answer_got_lost_is_finished_by_the_next(
    api: httpx.AsyncClient, desk_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(desk_settings, [about(str(number)) for number in range(4)])
    publish = LazyDecisionTopic.publish

    async def half(topic: LazyDecisionTopic, decision: Decision) -> None:
        await publish(topic, decision)
        if decision.task.tweet.id in "12":
            raise Retry("no confirmation")

    monkeypatch.setattr(LazyDecisionTopic, "publish", half)
    sent = settling(await lines(api))
    first = await settled(api, sent)
    assert {one["post"]: one["why"] for one in first["left"]} == {"1": "failed", "2": "failed"}
    monkeypatch.undo()
    again = await settled(api, sent, first["id"])
    assert (sorted(again["posts"]), again["left"]) == (list("0123"), [])
    assert len({one.id for one in decisions(desk_settings)}) == 4


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"action": "reject"}, []),
        ({"action": "retype", "to": "PER"}, [("NASA", "PER")]),
    ],
)
async def test_an_answer_may_reject_or_change_the_type(
    api: httpx.AsyncClient, desk_settings: Settings, changed: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    await put(desk_settings, [about("1")])
    await settled(api, settling(await lines(api), **changed))
    (decision,) = decisions(desk_settings)
    assert outcome(decision) == expected


async def test_what_is_not_as_it_was_seen_is_left_with_a_reason(
    api: httpx.AsyncClient, desk_settings: Settings, queue: ReviewQueue
) -> None:
    await put(desk_settings, [about(str(number)) for number in range(5)])
    sent = settling(await lines(api))
    await queue.take("1", "marlen", 60)
    await put(desk_settings, [about("2", "NASA is not on the moon", edit=1)])
    await queue.erase("3")
    made = await settled(api, sent)
    assert sorted(made["posts"]) == ["0", "4"]
    assert {one["post"]: one["why"] for one in made["left"]} == {"1": "held", "2": "changed", "3": "changed"}
    assert all(one["sentence"] for one in made["left"])
    assert sorted(one.task.tweet.id for one in decisions(desk_settings)) == ["0", "4"]


async def test_an_undo_brings_no_erased_post_back(
    api: httpx.AsyncClient, desk_settings: Settings, queue: ReviewQueue
) -> None:
    await put(desk_settings, [about("1"), about("2", "NASA was a secret")])
    made = await settled(api, settling(await lines(api)))
    await queue.erase("2")
    back = await undone(api, made["id"])
    assert (back["posts"], [one["post"] for one in back["left"]]) == (["1"], ["2"])
    assert [line["post"] for line in await lines(api)] == ["1"]
    assert texts(decisions(desk_settings)).count("NASA was a secret") == 1, "the retraction would hold the text again"


async def test_only_the_person_who_decided_finds_the_bulk(api: httpx.AsyncClient, desk_settings: Settings) -> None:
    await put(desk_settings, [about("1")])
    made = await settled(api, settling(await lines(api)))
    (decision,) = decisions(desk_settings)
    where = servers.kafka(desk_settings), desk_settings.name(topics.DECISIONS), made["id"]
    assert decisions_of(*where, decision.reviewer) == [decision]
    assert decisions_of(*where, "somebody else") == []


@pytest.mark.parametrize(
    ("changed", "status", "reason"),
    [
        ({"looked_at": 1}, 400, "looked_at is 1, but 2 tasks"),
        ({"action": "retype"}, 400, "a retype needs a type"),
        ({"action": "retype", "to": "ORG"}, 400, "they are ORG already"),
        ({"lines": []}, 422, "lines"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(
    api: httpx.AsyncClient, desk_settings: Settings, changed: dict[str, Any], status: int, reason: str
) -> None:
    await put(desk_settings, [about("1"), about("2")])
    bulk = (await api.post("/bulks")).json()["id"]
    answer = await api.put(f"/bulks/{bulk}", json=settling(await lines(api), **changed))
    assert (answer.status_code, reason in answer.json()["error"]) == (status, True), answer.text
    assert decisions(desk_settings) == []


@pytest.mark.parametrize("bulk", ["0-0123456789abcdef", "ffffffffffff-0123456789abcdef"])
async def test_a_bulk_cannot_be_dated(api: httpx.AsyncClient, desk_settings: Settings, bulk: str) -> None:
    await put(desk_settings, [about("1")])
    assert (await api.put(f"/bulks/{bulk}", json=settling(await lines(api)))).status_code == 409
    assert (await api.post(f"/bulks/{bulk}/retraction")).status_code == 409


async def test_where_several_people_vote_an_answer_is_a_vote(desk_settings: Settings, queue: ReviewQueue) -> None:
    await put(desk_settings, [about("1"), both("2")])
    with served(desk_settings.changed(reviewers=2)) as desk:
        async with client(desk) as api:
            bulk = (await api.post("/bulks")).json()["id"]
            sent = settling(await lines(api))
            for _ in range(2):
                told = (await api.put(f"/bulks/{bulk}", json=sent)).json()
                assert told["posts"] == ["1"]
                assert [(one["post"], "other open questions" in one["sentence"]) for one in told["left"]] == [
                    ("2", True)
                ]
            assert [line["post"] for line in await lines(api)] == ["2"], "the person has voted on the other"
            counted = {group["name"]: group["tasks"] for group in (await names(api))["groups"]}
            assert counted == {"nasa": 1, "esa": 1}, "so it does not count for this person"
            (vote,) = {decision.id: decision for decision in decisions(desk_settings)}.values()
            assert (vote.kind, len(vote.votes), vote.bulk_id) == ("vote", 1, bulk)
            assert await queue.counts() == Counts(open=2, leased=0, decided=0)
            undone = (await api.post(f"/bulks/{bulk}/retraction")).json()
            assert (undone["posts"], undone["name"], undone["left"]) == (["1"], "nasa", [])
            assert sorted(line["post"] for line in await lines(api)) == ["1", "2"]
            taken_back = decisions(desk_settings)[-1]
            assert (taken_back.kind, taken_back.votes, taken_back.bulk_id) == ("vote", (), bulk)
            assert (await api.post(f"/bulks/{bulk}/retraction")).status_code == 409, "nothing is left to undo"


async def test_a_post_whose_text_may_not_be_shown_has_no_line(
    desk_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = Terms(may_train=False, may_show_text=False, delete_within_hours=24)
    monkeypatch.setattr("desk.services.load_sources", lambda settings: Sources({"silent": terms}))
    await put(desk_settings, [about("1"), about("2", source="silent:feed")])
    with served(desk_settings) as desk:
        async with client(desk) as api:
            assert [line["post"] for line in await lines(api)] == ["1"]


async def test_a_name_that_only_withheld_posts_have_is_not_shown(
    desk_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = Terms(may_train=False, may_show_text=False, delete_within_hours=24)
    monkeypatch.setattr("desk.services.load_sources", lambda settings: Sources({"silent": terms}))
    secret = about("3", "A secret name", "secret", source="silent")
    await put(desk_settings, [about("1"), about("2", source="silent:feed"), secret, about("4", "ESA", "ESA")])
    async with Redis.from_url(str(desk_settings.redis)) as redis:  # as a program before 0.4 names a task
        for post in ("1", "3"):
            key = desk_settings.name("review:names_of")
            stored = json.loads(await redis.hget(key, post) or b"")
            await redis.hset(key, post, json.dumps([label[:3] for label in stored]))
    with served(desk_settings) as desk:
        async with client(desk) as api:
            shown = [(group["name"], group["tasks"]) for group in (await names(api))["groups"]]
            assert sorted(shown) == [("esa", 1), ("nasa", 1)]
            assert (await names(api, q="secret"))["groups"] == []


async def test_tasks_of_an_older_program_are_grouped_at_the_start(desk_settings: Settings, queue: ReviewQueue) -> None:
    await put(desk_settings, [about("1")])
    async with Redis.from_url(str(desk_settings.redis)) as redis:
        for pattern in ("names", "named:*", "names_of", "labels"):
            async for key in redis.scan_iter(desk_settings.name(f"review:{pattern}")):
                await redis.delete(key)
    assert not (await queue.names.page(20)).groups
    with served(desk_settings) as desk:
        async with client(desk) as api:
            for _ in range(200):
                if found := (await names(api))["groups"]:
                    break
    assert found == [{"name": "nasa", "type": "ORG", "tasks": 1}]


async def test_an_analyst_may_not_decide(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, home=tmp_path)
    users_of(settings).add("analyst", PASSWORD, ("analyst",))
    async with signed_in(create(settings), "analyst") as browser:
        for path in ("/review/words", API, f"{API}/lines?name=a&type=PER"):
            assert (await browser.get(path)).status_code == 403
