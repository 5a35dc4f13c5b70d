"""People save searches, change their own ones only, and set up webhooks whose secrets are shown once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import httpx
import pytest
from playwright.async_api import Page, expect

from desk.access.access import audit_of, folder_of, tokens_of
from desk.access.people import Role
from desk.saved.signature import new_secret
from desk.saved.store import SavedSearches
from desk.saved.values import Webhook
from local.lock import alone
from streams import topics
from streams.settings import Settings
from tests.desk import filled
from tests.desk.conftest import served
from tests.desk.saved.receiver import Receiver
from tests.desk.search.conftest import post, write

API = "/api/v1"
SAVED = "/saved"
PEOPLE: dict[str, Role] = {"ana": "analyst", "bob": "analyst", "eve": "admin", "rob": "reviewer"}
People = dict[str, httpx.AsyncClient]


@pytest.fixture
def allowing(desk_settings: Settings, receiver: Receiver) -> Settings:
    """Settings of a desk that may send messages to the receiver."""
    return desk_settings.changed(desk={"webhook_allow": (receiver.host,)})


@pytest.fixture
def allowing_desk(allowing: Settings) -> Iterator[str]:
    """A desk on these settings that has read the saved searches."""
    with served(allowing) as address:
        while httpx.get(address + API + SAVED).status_code == 503:
            time.sleep(0.02)
        yield address


@pytest.fixture
async def people(allowing: Settings, allowing_desk: str) -> AsyncIterator[People]:
    """Programs with tokens, by name."""
    async with AsyncExitStack() as stack:
        found: People = {}
        for name, role in PEOPLE.items():
            bearer = {"Authorization": f"Bearer {tokens_of(allowing).add(name, (role,), None)}"}
            client = httpx.AsyncClient(base_url=allowing_desk + API, headers=bearer)
            found[name] = await stack.enter_async_context(client)
        yield found


async def save(person: httpx.AsyncClient, name: str = "Rockets", query: str = "q=nasa&type=ORG") -> str:
    """Saves a search. Returns its address below the API."""
    answer = await person.post(SAVED, json={"name": name, "query": query})
    assert answer.status_code == 201, answer.text
    return f"{SAVED}/{answer.json()['id']}"


async def test_a_search_is_changed_by_its_owner_and_by_admins_alone(people: People, allowing: Settings) -> None:
    ana, bob, eve = people["ana"], people["bob"], people["eve"]
    address = await save(ana)
    (seen,) = (await bob.get(SAVED)).json()
    assert (seen["name"], seen["query"], seen["owner"], seen["mine"]) == (
        "Rockets",
        "q=nasa&type=ORG",
        "token:ana",
        False,
    )
    for method, path, body in (
        ("PATCH", "", {"name": "Mine"}),
        ("DELETE", "", None),
        ("PUT", "/webhook", {"url": "https://hooks.example/"}),
        ("DELETE", "/webhook", None),
        ("POST", "/webhook/test", None),
        ("POST", "/webhook/resume", None),
    ):
        answer = await bob.request(method, address + path, json=body)
        assert (answer.status_code, "token:ana" in answer.json()["error"]) == (403, True), (method, path)
    assert (await people["rob"].get(SAVED)).status_code == 403
    assert (await ana.patch(address, json={"name": "Launches"})).json()["name"] == "Launches"
    assert (await eve.patch(address, json={"name": "Starts"})).json()["name"] == "Starts"
    assert (await bob.get(address)).json()["name"] == "Starts"
    assert (await eve.delete(address)).status_code == 204
    assert (await ana.get(address)).status_code == 404
    assert (await ana.get(SAVED)).json() == []
    actions = [(entry.person, entry.action) for entry in reversed(audit_of(allowing).latest(99))]
    assert [each for each in actions if each[1].startswith("search ")] == [
        ("token:ana", "search saved"),
        ("token:ana", "search renamed"),
        ("token:eve", "search renamed"),
        ("token:eve", "search deleted"),
    ]


async def test_a_change_undoes_no_other_that_came_meanwhile(people: People, allowing: Settings) -> None:
    ana = people["ana"]
    address = await save(ana)
    with alone(folder_of(allowing) / "audit.jsonl.lock"):  # a change is noted before it is made, so it waits here
        renaming = asyncio.create_task(ana.patch(address, json={"name": "Launches"}))
        await asyncio.sleep(1)
        searches = SavedSearches(str(allowing.kafka), allowing.name(topics.DESK))
        searches.start()
        await searches.ready()
        (saved,) = searches.all()
        hook = Webhook(url="https://hooks.example/", secret=new_secret(), paused="by another desk")
        await searches.put(saved.with_changes(webhook=hook))
        await searches.close()
        while not (await ana.get(address)).json()["has_webhook"]:
            await asyncio.sleep(0.02)
        assert not renaming.done()
    assert (await renaming).status_code == 200
    seen = (await ana.get(address)).json()
    assert (seen["name"], seen["has_webhook"]) == ("Launches", True)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "", "query": "q=a"}, "name"),
        ({"name": "a" * 101, "query": "q=a"}, "name"),
        ({"name": "\u202e \x00", "query": "q=a"}, "name"),
        ({"name": "a", "query": "type=DOG"}, "type"),
        ({"name": "a", "query": "since=yesterday"}, "since"),
    ],
)
async def test_a_search_that_cannot_be_used_is_not_saved(people: People, body: dict[str, str], field: str) -> None:
    answer = await people["ana"].post(SAVED, json=body)
    assert answer.status_code in {400, 422}
    assert field in answer.json()["error"]
    assert (await people["ana"].get(SAVED)).json() == []


async def test_a_secret_is_shown_once_and_signs_the_test(
    people: People, allowing: Settings, receiver: Receiver
) -> None:
    ana = people["ana"]
    address = await save(ana)
    refused = await ana.put(f"{address}/webhook", json={"url": "http://127.0.0.1:1/"})
    assert (refused.status_code, refused.json()["error"][:5]) == (400, "url: ")
    assert (await ana.post(f"{address}/webhook/test")).status_code == 404

    secret = (await ana.put(f"{address}/webhook", json={"url": receiver.url})).json()["secret"]
    shown = await ana.get(address)
    assert shown.json()["webhook"]["url"] == receiver.url
    assert secret not in shown.text
    other = await people["bob"].get(address)
    assert (other.json()["has_webhook"], other.json()["webhook"]) == (True, None)
    assert receiver.host not in other.text

    assert (await ana.post(f"{address}/webhook/test")).json() == {"delivered": True, "said": "HTTP 200"}
    (message,) = receiver.got
    assert message.is_signed_with(secret)
    assert message.content["type"] == "webhook.test"
    receiver.will([500])
    assert (await ana.post(f"{address}/webhook/test")).json() == {"delivered": False, "said": "HTTP 500"}

    assert (await ana.post(f"{address}/webhook/resume")).status_code == 409
    assert (await ana.put(f"{address}/webhook", json={"url": receiver.url})).json()["secret"] != secret
    assert (await ana.delete(f"{address}/webhook")).status_code == 204
    assert (await ana.get(address)).json()["has_webhook"] is False
    log = audit_of(allowing).latest(99)
    actions = [entry.action for entry in reversed(log) if entry.action.startswith("webhook ")]
    assert actions == ["webhook set", "webhook tested", "webhook tested", "webhook set", "webhook removed"]
    assert secret not in str(log)


async def test_tests_are_limited_for_each_person(
    people: People, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("desk.saved.actions.MOST_TESTS", 2)
    for name, expected in (("ana", [200, 200, 429]), ("bob", [200])):
        address = await save(people[name])
        await people[name].put(f"{address}/webhook", json={"url": receiver.url})
        answers = [await people[name].post(f"{address}/webhook/test") for _ in expected]
        assert [answer.status_code for answer in answers] == expected
    refused = await people["ana"].post(f"{await save(people['ana'])}/webhook/test")
    assert refused.status_code == 404, "the limit hides no other fault"
    assert len(receiver.got) == 3


async def test_a_stream_is_noted_when_it_begins(allowing_desk: str, allowing: Settings) -> None:
    async def follow(query: str) -> None:
        async with (
            httpx.AsyncClient() as client,
            client.stream("GET", f"{allowing_desk}{API}/tail?{query}") as answer,
        ):
            assert answer.status_code == 200
            async for _ in answer.aiter_lines():
                return

    for query in ("q=nasa", "q=nasa&after=a/0=1", "q=nasa&after=a/0=2", "q=esa&after=a/0=1", "q=nasa"):
        await follow(query)
    followed = [entry.what for entry in reversed(audit_of(allowing).latest(99)) if entry.action == "search followed"]
    assert followed == [{"typed": ["q"]}] * 3


async def test_a_person_saves_renames_tests_and_deletes_on_the_page(
    allowing_desk: str, allowing: Settings, page: Page, receiver: Receiver
) -> None:
    await write(allowing, post("1", "NASA"))
    await page.goto(f"{allowing_desk}/search?q=nasa")
    await page.get_by_text("Save", exact=True).click()
    await page.get_by_label("Name of the search").fill("<b>Rockets</b>")
    await page.get_by_role("button", name="Save this search").click()
    row = page.locator(".saved-search")
    await expect(row.get_by_role("heading")).to_have_text("<b>Rockets</b>")
    await row.get_by_text("Change").click()
    await row.get_by_label("Name").fill("Launches")
    await row.get_by_role("button", name="Rename").click()
    await expect(row.get_by_role("heading")).to_have_text("Launches")

    await row.get_by_text("Add a webhook").click()
    await row.get_by_label("Address").fill(receiver.url)
    await row.get_by_role("button", name="Set up").click()
    secret = await row.locator("#secret").inner_text()
    await row.get_by_role("button", name="Send a test message").click()
    await expect(row.get_by_role("status")).to_have_text("The test message arrived: HTTP 200")
    assert secret not in await page.content()
    assert receiver.got[0].is_signed_with(secret)

    receiver.will([500])
    await row.get_by_role("button", name="Send a test message").click()
    await expect(row.get_by_role("status")).to_have_text("The test message did not arrive: HTTP 500")

    asked: list[str] = []

    async def agree(dialog: object) -> None:
        asked.append(dialog.message)  # type: ignore[attr-defined]
        await dialog.accept()  # type: ignore[attr-defined]

    page.on("dialog", lambda dialog: asyncio.ensure_future(agree(dialog)))
    await row.get_by_text("Change").click()
    await row.get_by_role("button", name="Delete the search").click()
    await expect(page.get_by_role("heading", name="No saved searches yet")).to_be_visible()
    assert asked == ["Delete this search and its webhook?"]


async def test_a_paused_webhook_goes_on_by_its_button(desk_settings: Settings, page: Page) -> None:
    await filled.save(desk_settings, ["nasa"])
    with served(desk_settings) as address:
        async with httpx.AsyncClient(base_url=address + API, timeout=30) as client:
            while (await client.get(SAVED)).status_code == 503:  # it has not read the saved searches yet
                await asyncio.sleep(0.02)
        await page.goto(f"{address}/saved")
        await expect(page.locator(".hook summary .state")).to_have_text("paused")
        button = page.get_by_role("button", name="Go on where it stopped")
        await button.click()
        await expect(page.locator(".hook summary .state")).to_have_text("on")
        await expect(button).to_have_count(0)
