"""The API of disputed and flagged tasks, on a real queue and a real topic: who may decide, and what is refused."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from core.terms import Sources
from desk.access.people import Person
from desk.adjudication.cases import case
from desk.adjudication.service import Adjudication, Changed
from desk.review import service as review_service
from desk.review.service import Reviews
from desk.review.values import Settling
from review.settling import NotYours
from sinks.queue.values import MAX_NOTE
from streams.settings import Settings
from tests.desk.conftest import own_headers
from tests.desk.review.disputes import House, house, rejects, task_of

API = "/api/v1/review"
EVE, ANA = Person("eve", frozenset({"reviewer"})), Person("ana", frozenset({"reviewer"}))
ADMIN_ANA = Person("ana", frozenset({"admin"}))


@pytest.fixture
def desk_settings(desk_settings: Settings) -> Settings:
    return desk_settings.changed(reviewers=2)


@pytest.fixture
async def made(desk_settings: Settings) -> AsyncIterator[House]:
    async with house(desk_settings) as found:
        yield found


@pytest.fixture
async def api(desk: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=desk + API, timeout=30, headers=own_headers(desk)) as client:
        yield client


def settlement(found: dict[str, Any], version: int = 0) -> dict[str, Any]:
    return {"id": secrets.token_hex(16), "task": found["task"], "version": found["versions"][version]["id"]}


async def test_versions_are_listed_without_names_unless_they_are_asked_for(api: httpx.AsyncClient, made: House) -> None:
    await made.dispute("d1")
    await made.flag("f1", "a note\x07")
    flagged, disputed = (await api.get("/disputed")).json()["cases"]
    assert [version["reviewer"] for version in disputed["versions"]] == [None, None]
    assert sorted(len(version["marks"]) for version in disputed["versions"]) == [3, 3]
    assert (flagged["flag"]["reviewer"], flagged["flag"]["note"], flagged["versions"]) == ("ana", "a note", [])
    named = (await api.get("/disputed?names=true")).json()["cases"][1]
    assert {version["reviewer"] for version in named["versions"]} == {"ana", "bob"}


async def test_a_version_settles_once_however_often_it_is_sent(api: httpx.AsyncClient, made: House) -> None:
    await made.dispute("d1")
    (found,) = (await api.get("/disputed")).json()["cases"]
    sent = settlement(found, 1)
    answers = [await api.post("/disputed/d1/settlement", json=sent) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 204], answers[0].text
    assert await made.disputed() == []
    assert (await made.queue.counts()).decided == 1
    again = await api.post("/disputed/d1/settlement", json=settlement(found))
    assert again.status_code == 409
    assert (await api.post("/disputed/d1/reopening")).status_code == 204
    assert await made.disputed() == ["d1"]
    assert (await api.post("/disputed/d1/reopening")).status_code == 409


@pytest.mark.parametrize(
    ("changed", "status"),
    [({"version": "0" * 16}, 400), ({"task": "d1:1:tiny:1"}, 409), ({"version": "x"}, 422), ({"id": "1"}, 422)],
)
async def test_what_makes_no_sense_is_refused_and_the_task_stays(
    api: httpx.AsyncClient, made: House, changed: dict[str, str], status: int
) -> None:
    await made.dispute("d1")
    (found,) = (await api.get("/disputed")).json()["cases"]
    answer = await api.post("/disputed/d1/settlement", json=settlement(found) | changed)
    assert answer.status_code == status, answer.text
    assert await made.disputed() == ["d1"]


async def test_who_has_voted_may_not_settle_and_an_admin_may(made: House) -> None:
    await made.dispute("d1")
    (dispute,) = await made.queue.votes.disputed()
    version = case(dispute).versions[0].id
    ana, eve, admin = (Adjudication(made.desk, person) for person in (ANA, EVE, ADMIN_ANA))
    assert "have voted" in ana.refusal(dispute)
    assert eve.refusal(dispute) == admin.refusal(dispute) == ""
    with pytest.raises(NotYours, match="have voted on post d1"):
        await ana.settle("d1", dispute.task.id, version, secrets.token_hex(16))
    assert await made.disputed() == ["d1"], "it is not leased"
    decision = await admin.settle("d1", dispute.task.id, version, secrets.token_hex(16))
    assert decision is not None
    assert [vote.reviewer for vote in decision.votes] == ["ana", "bob"]


async def test_who_has_voted_or_flagged_may_not_open_the_task_in_the_review(made: House) -> None:
    await made.dispute("d1")
    await made.flag("f1")
    reviews = Reviews(made.queue, made.desk.topic, Sources({}), 2)
    tab = "a" * 16
    for post, reason in (("d1", "you have voted on post d1"), ("f1", "you left post f1 to somebody else")):
        with pytest.raises(review_service.Changed, match=reason):
            await reviews.take("ana", tab, post)
        claim = await made.queue.take(post, "ana", 60, session=tab)
        assert claim is not None, "it is not leased"
        told = {"id": "b" * 32, "post": post, "task": claim.task.id, "token": claim.token}
        with pytest.raises(review_service.Changed, match=reason):
            await reviews.settle("ana", Settling.model_validate(told))
        await made.queue.release(claim)
        assert (await reviews.take("eve", tab, post)).post == post
        assert [claim.task.tweet.id for claim in await made.queue.held_by("eve", tab)] == [post], "of this tab"
        for claim in await made.queue.held_by("eve", tab):
            await made.queue.release(claim)
        assert (await reviews.take("ana", tab, post, is_admin=True)).post == post


async def test_a_vote_that_is_taken_back_can_be_given_again(made: House) -> None:
    await made.queue.add([task_of("v1")])
    await made.vote("ana", "v1", rejects)
    reviews = Reviews(made.queue, made.desk.topic, Sources({}), 2)
    with pytest.raises(review_service.Changed, match="have voted"):
        await reviews.take("ana", "a" * 16, "v1")
    told = await reviews.reopen("ana", "a" * 16, "v1")
    assert [answer.after for answer in told.answers] == [None, None]


async def test_a_flag_that_waited_to_be_sent_counts_after_the_end_of_its_lease(made: House) -> None:
    await made.queue.add([task_of("f1")])
    claim = await made.queue.claim("eve", 0.001)
    assert claim is not None
    while await made.queue.held("f1", "eve", claim.token):
        await asyncio.sleep(0.001)
    await Adjudication(made.desk, EVE).flag("f1", claim.token, "whose Ada?")
    assert [flagged.task.tweet.id for flagged in await made.queue.flags.list()] == ["f1"]


async def test_of_two_people_who_settle_at_once_one_does(made: House) -> None:
    await made.dispute("d1")
    (dispute,) = await made.queue.votes.disputed()
    people = [Adjudication(made.desk, Person(name, frozenset({"reviewer"}))) for name in ("eve", "dan", "joe")]
    versions = [version.id for version in case(dispute).versions]
    done = await asyncio.gather(
        *(
            one.settle("d1", dispute.task.id, versions[place % 2], secrets.token_hex(16))
            for place, one in enumerate(people)
        ),
        return_exceptions=True,
    )
    assert sorted(isinstance(each, Changed) for each in done) == [False, True, True]


async def test_a_task_is_flagged_by_whoever_holds_it_with_a_short_note(api: httpx.AsyncClient, made: House) -> None:
    await made.queue.add([task_of("f1")])
    long = await api.post("/tasks/f1/flag", json={"token": "0" * 16, "note": "x" * (MAX_NOTE + 1)})
    assert long.status_code == 422
    assert (await api.post("/tasks/f1/flag", json={"token": "0" * 16})).status_code == 409
    eve = Adjudication(made.desk, EVE)
    claim = await made.queue.claim("eve", 60)
    assert claim is not None
    for _ in range(2):
        await eve.flag("f1", claim.token, "whose Ada?")
    (dispute,) = await made.queue.flags.list()
    assert "left post f1 to somebody else" in eve.refusal(dispute)
    assert Adjudication(made.desk, ANA).refusal(dispute) == ""


async def test_a_version_that_rejects_all_can_be_taken(made: House) -> None:
    await made.queue.add([task_of("d1")])
    await made.vote("ana", "d1", rejects)
    await made.vote("bob", "d1", lambda work: work.accept().reject())
    (dispute,) = await made.queue.votes.disputed()
    found = case(dispute)
    assert [(difference.text, set(difference.types)) for difference in found.differences] == [
        ("Ada Lovelace", {"PER", None})
    ]
    fewest = min(found.versions, key=lambda version: len(version.marks))
    decision = await Adjudication(made.desk, EVE).settle("d1", dispute.task.id, fewest.id, secrets.token_hex(16))
    assert decision is not None
    assert [mention.text for mention in decision.mentions] == ["London"]
