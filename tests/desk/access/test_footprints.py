"""What people see leaves a line in the audit log, with ids alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from core.events import Media, Tweet
from desk.access.access import audit_of
from desk.images import Images, Jpeg
from streams.settings import Settings
from tests.desk.conftest import own_headers
from tests.desk.filled import extraction, fill, mention
from tests.desk.saved.test_tail import tail
from tests.desk.search.conftest import post, write

TEXT = "Zaphod saw Lisbon"
SECRETS = ("zaphod", "lisbon", "saw")
API = "/api/v1/entities"


def lines(settings: Settings) -> list[tuple[str, Any]]:
    """Returns action and ids of each line, the oldest first. Nothing of a post stands in any of them."""
    found = list(reversed(audit_of(settings).latest(99)))
    told = json.dumps([entry.what for entry in found]).lower()
    assert not any(secret in told for secret in SECRETS), told
    return [(entry.action, entry.what.get("posts", entry.what.get("post"))) for entry in found]


async def seed(settings: Settings) -> None:
    tweets = [Tweet(id=str(n), text=TEXT, media=(Media(url=f"https://i.example/{n}.jpg"),)) for n in (1, 2)]
    await fill(
        settings, [extraction(t, [mention(TEXT, 0, 6, "PER", 0.5), mention(TEXT, 11, 17, "LOC", 0.97)]) for t in tweets]
    )


ASKED: dict[str, Callable[[httpx.AsyncClient], Any]] = {
    "the lists of names": lambda desk: desk.get("/entities"),
    "the list of names": lambda desk: desk.get(API, params={"period": "all"}),
    "trends": lambda desk: desk.get(f"{API}/trending"),
    "suggestions": lambda desk: desk.get(f"{API}/suggestions", params={"q": "lis"}),
    "names of tasks": lambda desk: desk.get("/api/v1/review/names"),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
async def test_a_list_of_names_is_noted(
    desk: str, desk_settings: Settings, ask: Callable[[httpx.AsyncClient], Any]
) -> None:
    await seed(desk_settings)
    async with httpx.AsyncClient(base_url=desk, timeout=60) as client:
        assert (await ask(client)).status_code == 200
    assert lines(desk_settings) == [("saw names", None)]


async def test_a_page_of_a_name_is_noted_with_its_posts(desk: str, desk_settings: Settings) -> None:
    await seed(desk_settings)
    async with httpx.AsyncClient(base_url=desk, timeout=60) as client:
        assert (await client.get("/entities/name", params={"name": "lisbon"})).status_code == 200
        assert (await client.get(f"{API}/page", params={"name": "lisbon"})).status_code == 200
    assert [(action, sorted(ids)) for action, ids in lines(desk_settings)] == [("saw a name", ["1", "2"])] * 2


async def test_tasks_and_last_decisions_are_one_line_a_request(desk: str, desk_settings: Settings) -> None:
    await seed(desk_settings)
    async with httpx.AsyncClient(base_url=desk, headers=own_headers(desk), timeout=60) as client:
        hand = (await client.post("/api/v1/review/hand", json={"session": "a" * 16, "want": 2})).json()
        assert (await client.get("/api/v1/review/decisions")).json() == {"decisions": []}
        task = hand["tasks"][0]
        sent = {name: task[name] for name in ("post", "token")} | {"id": "b" * 32, "task": task["id"]}
        answers = [{"item": place, "after": None} for place, item in enumerate(task["items"]) if item["asked"]]
        assert (await client.post("/api/v1/review/decisions", json=sent | {"answers": answers})).status_code == 200
        assert len((await client.get("/api/v1/review/decisions")).json()["decisions"]) == 1
        await client.get("/api/v1/review/decisions")  # as an idle tab does
        skipped = {name: hand["tasks"][1][name] for name in ("post", "token")} | {"session": "a" * 16}
        assert (await client.post("/api/v1/review/skips", json=skipped)).status_code == 204
        assert (await client.post("/api/v1/review/unskips", json={"session": "a" * 16})).status_code == 204
    assert lines(desk_settings) == [
        ("seen", ["1", "2"]),
        ("decided", "1"),
        ("seen", ["1"]),
        ("skipped", "2"),
        ("asked for skipped tasks", None),
    ]


async def test_an_image_is_noted_once(desk: str, desk_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def jpeg(self: Images, url: str, **_: Any) -> Any:
        return Jpeg('"x"', b"jpeg")

    monkeypatch.setattr(Images, "jpeg", jpeg)
    await seed(desk_settings)
    async with httpx.AsyncClient(base_url=desk, timeout=60) as client:
        for path in ("/images/1/0.jpg", "/images/1/0.jpg?small", "/images/2/0.jpg", "/images/9/0.jpg"):
            await client.get(path)
    assert lines(desk_settings) == [("seen image", "1"), ("seen image", "2")]


async def test_posts_of_the_live_tail_are_noted_before_they_are_shown(desk: str, desk_settings: Settings) -> None:
    await write(desk_settings, post("old", TEXT))
    async with tail(desk, "q=zaphod") as events:
        assert (await anext(events))[0] == "ready"
        await write(desk_settings, post("5", TEXT), post("6", TEXT))
        assert {(await anext(events))[2]["id"] for _ in range(2)} == {"5", "6"}
    followed, *seen = lines(desk_settings)
    assert followed == ("search followed", None)
    assert {action for action, _ in seen} == {"seen live"}
    assert sorted(each for _, ids in seen for each in ids) == ["5", "6"]


async def test_a_post_that_cannot_be_noted_is_not_shown_live(desk: str, desk_settings: Settings) -> None:
    await write(desk_settings, post("old", TEXT))
    async with tail(desk, "q=zaphod") as events:
        assert (await anext(events))[0] == "ready"
        path = desk_settings.home / "desk" / "audit.jsonl"
        path.unlink()
        path.mkdir()
        await write(desk_settings, post("5", TEXT))
        name, _, data = await anext(events)
        assert (name, "cannot be written" in data["error"]) == ("fault", True)


async def test_a_correction_is_noted_without_its_names(desk: str, desk_settings: Settings) -> None:
    await seed(desk_settings)
    async with httpx.AsyncClient(base_url=desk, headers=own_headers(desk), timeout=60) as client:
        while (await client.get(f"{API}/corrections")).status_code != 200:
            pass  # the topic is being read
        body = {"kind": "same", "name": "Zaphod", "of": "Lisbon"}
        told = (await client.post(f"{API}/corrections", json=body)).json()
        await client.delete(f"{API}/corrections", params={"key": told["key"]})
    assert [action for action, _ in lines(desk_settings)] == ["joined names", "took a correction back"]
