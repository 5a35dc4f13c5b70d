"""The live tail shows each post that begins to match, and takes back what is erased."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from elasticsearch import Elasticsearch
from fastapi import HTTPException
from playwright.async_api import Page, expect

from desk.saved.tail import Streams
from sinks.index.document import ERASED, Document
from sinks.index.index import Index
from sinks.searching.access import EVERYTHING
from sinks.searching.changes import PAGE, Ask, Place, ends, read
from sinks.searching.request import Search
from sinks.searching.state import SearchState
from streams import servers
from streams.settings import Settings
from tests.desk.conftest import served
from tests.desk.search.conftest import decided, post, write
from tests.families.servers.listening import listening

LAUNCH = "NASA launches a rocket"


def erased(post_id: str) -> Document:
    return Document(post_id, ERASED, {"id": post_id, "erased": True})


@asynccontextmanager
async def tail(desk: str, query: str, **headers: str) -> AsyncIterator[AsyncIterator[tuple[str, str, dict]]]:  # type: ignore[type-arg]
    """Yields the events of a tail as (name, id, data)."""

    async def events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, str, dict]]:  # type: ignore[type-arg]
        held: dict[str, str] = {}
        async for line in lines:
            if line:
                name, _, value = line.partition(": ")
                held[name] = value
            elif "event" in held:
                yield held["event"], held.get("id", ""), json.loads(held["data"])
                held = {}

    async with (
        httpx.AsyncClient(timeout=30) as client,
        client.stream("GET", f"{desk}/api/v1/tail?{query}", headers=headers) as answer,
    ):
        assert answer.status_code == 200
        yield events(answer.aiter_lines())


async def test_posts_come_as_they_begin_to_match(desk: str, desk_settings: Settings) -> None:
    await write(desk_settings, post("old", LAUNCH), post("1", "nothing yet"))
    async with tail(desk, "q=nasa") as events:
        assert (await anext(events))[0] == "ready"
        await write(desk_settings, post("2", LAUNCH, ("NASA", "ORG"), days=-900))
        name, _, data = await anext(events)
        assert (name, data["id"], data["withheld"]) == ("post", "2", False)
        assert data["cut"][0] == {"pieces": [["NASA", True]], "type": "ORG"}
        await write(desk_settings, decided("3", LAUNCH, ("NASA", "ORG")))
        _, last, data = await anext(events)
        assert (data["id"], data["decided_by"]) == ("3", "human")
        await write(desk_settings, erased("2"))
        assert (await anext(events))[::2] == ("gone", {"id": "2"})
    await write(desk_settings, post("4", LAUNCH), erased("3"))
    async with tail(desk, "q=nasa&shown=3", **{"Last-Event-ID": last}) as events:
        assert (await anext(events))[0] == "ready"
        found = {(await anext(events))[2]["id"] for _ in range(2)}
        assert found == {"3", "4"}


async def test_a_place_of_another_kind_is_refused(desk: str) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{desk}/api/v1/tail?after=1")
    assert answer.status_code == 400


def test_streams_are_bounded() -> None:
    streams = Streams(per_person=2, per_process=3)
    with streams.one("ana"), streams.one("ana"), streams.one("rita"):
        for person in ("ana", "eve"):
            with pytest.raises(HTTPException) as refused, streams.one(person):
                pass
            assert refused.value.status_code == 429
    with streams.one("ana"):
        pass


async def test_every_shard_is_read_to_its_end(desk_settings: Settings) -> None:
    name = desk_settings.name("mentions")
    number = 3 * PAGE + 7
    with Elasticsearch(desk_settings.elasticsearch) as client:
        client.indices.create(
            index=f"{name}-1", aliases={name: {"is_write_index": True}}, settings={"number_of_shards": 3}
        )
    index = Index(servers.elasticsearch(desk_settings), name)
    try:
        await index.prepare()
        place = Place.at(await ends(index))
        await index.write([post(str(each), LAUNCH) for each in range(number)])
        until = await ends(index)
        await index.refresh()
        search, found, more = Search(SearchState("nasa"), EVERYTHING), list[str](), True
        while more:
            (batch,) = await read(index, [Ask(search, place)], until)
            found += [change.hit.id for change in batch.changes]
            place, more = Place.read(str(batch.after)), batch.more
        assert sorted(found) == sorted(map(str, range(number)))
        assert (await read(index, [Ask(search, place)], until))[0].changes == ()
    finally:
        await index.close()


async def test_another_index_is_read_from_its_end_and_told(desk_settings: Settings) -> None:
    await write(desk_settings, post("1", LAUNCH))
    index = Index(servers.elasticsearch(desk_settings), desk_settings.name("mentions"))
    try:
        (batch,) = await read(index, [Ask(Search(SearchState(), EVERYTHING), Place({"other/0": 7}))], await ends(index))
        assert (batch.changes, batch.gap) == ((), True)
        (batch,) = await read(index, [Ask(Search(SearchState(), EVERYTHING), Place())], await ends(index))
        assert ([change.hit.id for change in batch.changes], batch.gap) == (["1"], False)
    finally:
        await index.close()


async def test_the_live_page_shows_new_posts_and_removes_erased_ones(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    await write(desk_settings, post("old", LAUNCH))
    await page.goto(f"{desk}/live?q=nasa")
    await expect(page.locator("#live-says")).to_have_text("Live")
    await write(desk_settings, post("1", LAUNCH, ("NASA", "ORG")), post("2", "no rocket"))
    await expect(page.locator("#live-hits .post")).to_have_text("NASA (ORG) launches a rocket")
    await page.keyboard.press("p")
    await write(desk_settings, post("3", "<b>NASA</b> again"))
    await expect(page.locator("#live-more")).to_have_text("Show 1 new post")
    await expect(page).to_have_title("(1) Live · nasa · mner desk")
    await page.locator("#live-more").click()
    await expect(page.locator("#live-hits .post").first).to_have_text("<b>NASA</b> again")
    await write(desk_settings, erased("1"))
    await expect(page.locator("#live-hits li")).to_have_count(1)


class Relay:
    """Passes everything on to Elasticsearch, or hangs up."""

    def __init__(self, port: int) -> None:
        self.port, self.is_up = port, True
        self._open: list[asyncio.StreamWriter] = []

    def hang_up(self) -> None:
        self.is_up = False
        for writer in self._open:
            writer.close()
        self._open.clear()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.is_up:
            writer.close()
            return
        answers, asking = await asyncio.open_connection("127.0.0.1", self.port)
        self._open += [writer, asking]
        await asyncio.gather(self._pass(reader, asking), self._pass(answers, writer), return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while found := await reader.read(2**16):
            writer.write(found)
            await writer.drain()
        writer.close()


async def test_the_live_page_says_that_elasticsearch_is_away_and_goes_on(desk_settings: Settings, page: Page) -> None:
    await write(desk_settings, post("old", LAUNCH))
    relay = Relay(int(str(desk_settings.elasticsearch).rpartition(":")[2]))
    says = page.locator("#live-says")
    async with listening(relay.converse) as port:
        with served(desk_settings.changed(elasticsearch=f"http://127.0.0.1:{port}")) as address:
            await page.goto(f"{address}/live?q=nasa")
            await expect(says).to_have_text("Live")
            relay.hang_up()
            await expect(says).to_contain_text("Posts come when it answers again.")
            await expect(says).to_contain_text(f"Elasticsearch at 127.0.0.1:{port}")
            await page.reload()
            await expect(says).to_contain_text(f"Elasticsearch at 127.0.0.1:{port}")
            await expect(says).to_contain_text("Trying again…")
            relay.is_up = True
            await expect(says).to_have_text("Live")
            relay.hang_up()
            await expect(says).to_contain_text("Posts come when it answers again.")
            await page.keyboard.press("p")
            await page.keyboard.press("p")
            assert "Posts come when it answers again." in await says.inner_text()
            relay.is_up = True
            await expect(says).to_have_text("Live")
            await write(desk_settings, post("1", LAUNCH))
            await expect(page.locator("#live-hits li")).to_have_count(1)
            await page.goto("about:blank")
