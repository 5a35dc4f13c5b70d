"""The review's API on a real queue and a real topic."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from core.errors import Reject, Retry
from core.events import Decision
from desk.services import LazyDecisionTopic
from sinks.queue.history import History
from sinks.queue.queue import ReviewQueue
from streams.settings import Settings
from tests.desk.conftest import own_headers
from tests.desk.review.made import decisions, end_leases, named, outcome, put, queue_of, take_away, task_of, texts

TEXT = "NASA and ESA in Paris\u202e\x07 👩‍🚀"
API = "/api/v1/review"
TAB = {"session": "a" * 16}


@pytest.fixture
async def api(desk: str, desk_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    tasks = [
        task_of(str(number), TEXT, named(TEXT, "NASA", "ORG"), uncertainty=1 - number / 10) for number in range(1, 5)
    ]
    await put(desk_settings, tasks)
    async with httpx.AsyncClient(base_url=desk + API, timeout=30, headers=own_headers(desk)) as client:
        yield client


async def asked(api: httpx.AsyncClient, want: int = 1, session: str = "a" * 16, **more: Any) -> dict[str, Any]:
    answer = await api.post("/hand", json={"session": session, "want": want} | more)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def settling(leased: dict[str, Any], **changed: Any) -> dict[str, Any]:
    after = {"start": 0, "end": 4, "type": "ORG"}
    sent = {"id": secrets.token_hex(16), "post": leased["post"], "task": leased["id"], "token": leased["token"]}
    return sent | {"answers": [{"item": 0, "after": after}], "added": []} | changed


async def test_a_task_comes_with_all_that_its_screen_needs(api: httpx.AsyncClient) -> None:
    (task,) = (await asked(api))["tasks"]
    assert task["text"] == "NASA and ESA in Paris\ufffd␇ 👩‍🚀"
    assert len(task["text"]) == len(TEXT)
    assert [TEXT[start:end] for start, end, is_word in task["words"] if is_word] == [
        "NASA",
        "and",
        "ESA",
        "in",
        "Paris",
    ]
    assert task["inner"] == [25, 26]
    assert task["items"][0]["probability"] == 0.5
    assert task["items"][0]["epistemic_rank"] is None, "too few mentions are known"
    assert task["items"][0]["reasons"][0]["kind"] == "low_probability"


async def test_two_tabs_get_different_tasks_and_a_reload_gets_its_own_again(api: httpx.AsyncClient) -> None:
    first, second = await asked(api, 2), await asked(api, 3, "b" * 16)
    assert [task["post"] for task in first["tasks"] + second["tasks"]] == ["1", "2", "3", "4"]
    held = [{"post": task["post"], "token": task["token"]} for task in first["tasks"]]
    again = await asked(api, 1, held=[*held, {"post": "9", "token": "0" * 16}])
    assert [(task["post"], task["token"]) for task in again["tasks"]] == [tuple(lease.values()) for lease in held]
    assert again["lost"] == ["9"]


async def test_a_decision_is_stored_once_however_often_it_is_sent(
    api: httpx.AsyncClient, desk_settings: Settings
) -> None:
    (task,) = (await asked(api))["tasks"]
    sent = settling(task, added=[{"start": 16, "end": 21, "type": "LOC"}])
    for _ in range(3):
        answer = await api.post("/decisions", json=sent)
        assert answer.json() == {"id": sent["id"], "post": "1"}
    (decision,) = decisions(desk_settings)
    assert outcome(decision) == [("NASA", "ORG"), ("Paris", "LOC")]
    (past,) = (await api.get("/decisions")).json()["decisions"]
    assert (past["id"], past["post"], past["is_changed"]) == (decision.id, "1", False)
    assert [(answer["text"], answer["action"]) for answer in past["answers"]] == [("NASA", "accept"), ("Paris", "add")]
    assert (await api.get("/counts")).json()["decided"] == 1


async def test_a_decision_on_a_task_that_another_decided_is_refused(
    api: httpx.AsyncClient, desk_settings: Settings
) -> None:
    (task,) = (await asked(api))["tasks"]
    await take_away(desk_settings, "1")
    answer = await api.post("/decisions", json=settling(task))
    assert answer.status_code == 409
    assert "no longer yours" in answer.json()["error"]
    assert decisions(desk_settings) == []


@pytest.mark.parametrize(
    ("changed", "status", "message"),
    [
        pytest.param({"answers": []}, 400, "no answer yet", id="nothing answered"),
        pytest.param({"answers": [{"item": 7, "after": None}]}, 400, "does not have", id="no such item"),
        pytest.param({"task": "1:0:other:2"}, 409, "changed", id="another reading of the post"),
        pytest.param({"token": "0" * 16}, 409, "no longer yours", id="another lease"),
        pytest.param({"id": "x"}, 422, "id", id="no id"),
        pytest.param({"surprise": 1}, 422, "surprise", id="an unknown field"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    api: httpx.AsyncClient, desk_settings: Settings, changed: dict[str, Any], status: int, message: str
) -> None:
    (task,) = (await asked(api))["tasks"]
    answer = await api.post("/decisions", json=settling(task, **changed))
    assert (answer.status_code, message in answer.json()["error"]) == (status, True), answer.text
    assert decisions(desk_settings) == []
    assert (await api.post("/decisions", json=settling(task))).status_code == 200


async def test_a_decision_can_be_taken_back_and_made_again(api: httpx.AsyncClient, desk_settings: Settings) -> None:
    (task,) = (await asked(api))["tasks"]
    sent = settling(task)
    await api.post("/decisions", json=sent)
    again = (await api.post(f"/tasks/{task['post']}/reopening", json=TAB)).json()
    assert (again["post"], again["id"]) == (task["post"], task["id"])
    assert again["answers"] == sent["answers"]
    repeated = (await api.post(f"/tasks/{task['post']}/reopening", json=TAB)).json()
    assert repeated["token"] == again["token"], "the answer may have been lost"
    answer = await api.post("/decisions", json=settling(again, answers=[{"item": 0, "after": None}]))
    assert answer.status_code == 200, answer.text
    made = decisions(desk_settings)
    assert [decision.kind for decision in made] == ["settle", "retract", "settle"]
    assert sorted(made, key=lambda decision: decision.decided_at) == made
    assert outcome(made[-1]) == []
    assert (await api.post("/tasks/none/reopening", json=TAB)).status_code == 409


async def test_a_decision_is_taken_back_also_when_the_answer_is_lost_for_longer_than_the_lease(
    api: httpx.AsyncClient, desk_settings: Settings
) -> None:
    (task,) = (await asked(api))["tasks"]
    await api.post("/decisions", json=settling(task))
    await api.post(f"/tasks/{task['post']}/reopening", json=TAB)
    await end_leases(desk_settings)
    again = await api.post(f"/tasks/{task['post']}/reopening", json=TAB)
    assert again.status_code == 200, again.text
    answer = await api.post("/decisions", json=settling(again.json(), answers=[{"item": 0, "after": None}]))
    assert answer.status_code == 200, answer.text
    assert [decision.kind for decision in decisions(desk_settings)] == ["settle", "retract", "settle"]


async def test_a_lease_whose_answer_was_lost_can_be_asked_for_again(api: httpx.AsyncClient) -> None:
    first, second = [(await api.post("/tasks/3/lease", json=TAB)).json() for _ in range(2)]
    assert second["token"] == first["token"]
    other = await api.post("/tasks/3/lease", json={"session": "b" * 16})
    assert other.status_code == 409, "another tab does not get it"


async def test_a_deleted_post_is_gone(api: httpx.AsyncClient, desk_settings: Settings) -> None:
    first, second = (await asked(api, 2))["tasks"]
    await api.post("/decisions", json=settling(first))
    async with queue_of(desk_settings) as queue:
        await queue.erase(first["post"], second["post"])
    answers = [
        await api.post("/decisions", json=settling(second)),
        await api.post(f"/tasks/{first['post']}/reopening", json=TAB),
        await api.post(f"/tasks/{second['post']}/lease", json=TAB),
    ]
    assert [(answer.status_code, answer.json()["error"]) for answer in answers] == [(410, "this post was deleted")] * 3


async def test_a_decision_counts_when_redis_refuses_to_remember_it(
    api: httpx.AsyncClient, desk_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: History, decision: Decision) -> None:
        raise Reject("the task is too large for Redis")

    monkeypatch.setattr(History, "add", refuse)
    (task,) = (await asked(api))["tasks"]
    answer = await api.post("/decisions", json=settling(task))
    assert answer.status_code == 200, answer.text
    assert len(decisions(desk_settings)) == 1
    assert (await api.get("/counts")).json()["decided"] == 1


async def test_a_skipped_task_comes_again_when_it_is_asked_for(api: httpx.AsyncClient) -> None:
    (task,) = (await asked(api))["tasks"]
    skip = {"session": "a" * 16, "post": task["post"], "token": task["token"]}
    assert (await api.post("/skips", json=skip)).status_code == 204
    assert [other["post"] for other in (await asked(api, 1))["tasks"]] == ["2"]
    assert (await api.post("/unskips", json={"session": "a" * 16})).status_code == 204
    assert [other["post"] for other in (await asked(api, 1))["tasks"]] == ["1"]


async def test_a_tab_that_leaves_lets_its_leases_end_soon(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("desk.review.service.LEAVE_S", 0.001)
    tasks = (await asked(api, 2))["tasks"]
    held = [{"post": task["post"], "token": task["token"]} for task in tasks]
    assert (await api.post("/leases", json={"leases": held, "leaving": True})).json() == {"lost": []}
    assert (await api.post("/leases", json={"leases": held[:1]})).json() == {"lost": []}, "a reload renews it"
    await asyncio.sleep(0.05)
    assert [task["post"] for task in (await asked(api, 1, "b" * 16))["tasks"]] == ["2"]
    assert (await api.post("/leases", json={"leases": held})).json() == {"lost": ["2"]}


async def test_a_task_stays_when_the_topic_is_away(
    api: httpx.AsyncClient, desk_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (task,) = (await asked(api))["tasks"]
    publish = LazyDecisionTopic.publish

    async def away(self: LazyDecisionTopic, decision: Decision) -> None:
        raise Retry("Kafka is away")

    monkeypatch.setattr(LazyDecisionTopic, "publish", away)
    sent = settling(task)
    answer = await api.post("/decisions", json=sent)
    assert (answer.status_code, answer.json()) == (503, {"error": "Kafka is away"})
    monkeypatch.setattr(LazyDecisionTopic, "publish", publish)
    assert (await api.post("/decisions", json=sent)).status_code == 200
    assert texts(decisions(desk_settings)) == [TEXT]


async def test_twenty_clients_decide_each_task_once(desk: str, desk_settings: Settings) -> None:
    tasks = [task_of(f"{number}", TEXT, named(TEXT, "ESA", "ORG")) for number in range(60)]
    await put(desk_settings, tasks)

    headers = own_headers(desk)

    async def work(number: int) -> None:
        async with httpx.AsyncClient(base_url=desk + API, timeout=60, headers=headers) as client:
            while found := (await asked(client, 2, f"{number:016x}"))["tasks"]:
                for task in found:
                    answer = await client.post("/decisions", json=settling(task))
                    assert answer.status_code == 200, answer.text

    await asyncio.gather(*(work(number) for number in range(20)))
    assert sorted(decision.task.tweet.id for decision in decisions(desk_settings)) == sorted(str(n) for n in range(60))
    queue = ReviewQueue(str(desk_settings.redis), desk_settings.name("review:"))
    assert (await queue.counts()).decided == 60
    await queue.close()
