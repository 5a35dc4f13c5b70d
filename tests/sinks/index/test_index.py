"""Repeatable writes, an outcome for each document, and searches, on a real Elasticsearch."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from elasticsearch import AsyncElasticsearch

from core.errors import Retry, Stop
from sinks.index import bulk
from sinks.index.document import Document, from_decision, from_extraction, marker
from sinks.index.index import Index, Outcome
from sinks.index.mapping import PROPERTIES
from streams.settings import Settings
from tests.sinks.values import MODEL_VERSION, decision, extraction, mention, task, tweet

PARIS, HILTON, ANA = mention("#Paris"), mention("Paris Hilton", "PER"), mention("Ana", "PER")


def by_model(
    tweet_id: str = "1", edit: int = 0, model_version: int = MODEL_VERSION, probability: float = 0.9
) -> Document:
    paris = PARIS.model_copy(update={"probability": probability})
    return from_extraction(extraction(tweet(tweet_id, edit=edit), paris, model_version=model_version), [paris])


def by_person(tweet_id: str = "1", edit: int = 0, stamp_ms: int = 1000) -> Document:
    return from_decision(decision(task(tweet_id, edit=edit), stamp_ms, ANA.model_copy(update={"source": "human"})))


def erased(tweet_id: str = "1") -> Document:
    return marker(tweet_id)


def kinds(outcomes: list[Outcome]) -> list[str]:
    return [outcome.kind for outcome in outcomes]


async def stored(settings: Settings, *tweet_ids: str) -> list[tuple[object, ...]]:
    """Returns each post's document with its version and the sequence number, which every write changes."""
    async with AsyncElasticsearch(str(settings.elasticsearch)) as client:
        found = [await client.get(index=settings.name("mentions"), id=tweet_id) for tweet_id in tweet_ids]
        return [(a["_source"], a["_version"], a["_seq_no"], a["_primary_term"]) for a in found]


async def test_a_replay_changes_no_byte_of_any_document(index: Index, settings: Settings) -> None:
    documents = [by_model("1"), by_model("2"), by_person("2"), erased("3")]
    assert kinds(await index.write(documents)) == ["written"] * 4
    before = await stored(settings, "1", "2", "3")
    for _ in range(3):
        assert kinds(await index.write(documents)) == ["stale"] * 4
    # another machine's floats may differ in the last digit; the first write of a model version stays
    assert kinds(await index.write([by_model("1", probability=0.9000000001)])) == ["stale"]
    assert await stored(settings, "1", "2", "3") == before


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        pytest.param(
            by_model(model_version=MODEL_VERSION), by_model(model_version=MODEL_VERSION + 1), id="a newer model version"
        ),
        pytest.param(by_model(model_version=MODEL_VERSION + 9), by_person(), id="a person over any model version"),
        pytest.param(by_person(stamp_ms=1000), by_person(stamp_ms=1001), id="the later decision"),
        pytest.param(by_person(stamp_ms=2**43), by_model(edit=1, model_version=1), id="a newer edit over a person"),
        pytest.param(by_person(edit=65535, stamp_ms=2**43), erased(), id="the marker of an erased post over all"),
    ],
)
async def test_the_newer_write_wins_in_any_order(index: Index, older: Document, newer: Document) -> None:
    assert kinds(await index.write([older])) == ["written"]
    assert kinds(await index.write([newer])) == ["written"]
    assert kinds(await index.write([older])) == ["stale"]
    assert await index.get("1") == newer


async def test_two_writes_of_one_post_in_one_call_leave_the_newer(index: Index) -> None:
    outcomes = await index.write([by_person(), by_model(), by_model(edit=1), by_model(edit=1)])
    assert kinds(outcomes) == ["written", "stale", "written", "stale"]
    assert await index.get("1") == by_model(edit=1)


async def test_one_bad_document_is_rejected_with_its_reason_and_its_neighbours_are_written(index: Index) -> None:
    bad = Document("2", 1, {"id": "2", "created_at": "the day before yesterday"})
    outcomes = await index.write([by_model("1"), bad, by_model("3")])
    assert kinds(outcomes) == ["written", "rejected", "written"]
    assert "created_at" in outcomes[1].reason
    assert "the day before yesterday" in outcomes[1].reason
    assert await index.get("2") is None


async def test_a_write_under_a_write_block_is_retried_and_not_rejected(index: Index, settings: Settings) -> None:
    async with AsyncElasticsearch(str(settings.elasticsearch)) as client:
        await client.indices.put_settings(index=settings.name("mentions"), settings={"index.blocks.write": True})
        (outcome,) = await index.write([by_model()])
        assert outcome.kind == "retry"
        assert "blocked" in outcome.reason
        await client.indices.put_settings(index=settings.name("mentions"), settings={"index.blocks.write": False})
    assert kinds(await index.write([by_model()])) == ["written"]


async def test_a_deleted_index_is_created_again_with_its_mapping(index: Index, settings: Settings) -> None:
    async with AsyncElasticsearch(str(settings.elasticsearch)) as client:
        await client.indices.delete(index=settings.name("mentions") + "-1")
        assert kinds(await index.write([by_model()])) == ["retry"]
        assert kinds(await index.write([by_model()])) == ["written"]
        mapping = await client.indices.get_mapping(index=settings.name("mentions"))
    (made,) = mapping.values()
    assert made["mappings"]["properties"]["mentions"]["type"] == "nested"


async def test_a_bulk_is_split_by_bytes_and_keeps_its_order(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BULK_BYTES", 1500)
    documents = [by_model(str(number)) for number in range(40)]
    bad = Document("bad", 1, {"id": "bad", "edit": "many"})
    outcomes = await index.write([*documents[:20], bad, *documents[20:]])
    assert kinds(outcomes) == ["written"] * 20 + ["rejected"] + ["written"] * 20


async def test_writing_no_document_sends_no_request(settings: Settings) -> None:
    nowhere = Index("http://127.0.0.1:1", settings.name("mentions"))
    assert await nowhere.write([]) == []
    await nowhere.close()


async def test_two_workers_may_prepare_at_once_and_again(settings: Settings) -> None:
    indexes = [Index(str(settings.elasticsearch), settings.name("mentions")) for _ in range(4)]
    await asyncio.gather(*(index.prepare() for index in indexes))
    await indexes[0].prepare()
    assert kinds(await indexes[1].write([by_model()])) == ["written"]
    await asyncio.gather(*(index.close() for index in indexes))


def as_version_0_1(document: Document) -> Document:
    """The same document as version 0.1 wrote it."""
    body = {"release" if name == "model_version" else name: value for name, value in document.body.items()}
    return Document(document.id, document.version, body)


async def test_an_index_of_version_0_1_gains_the_new_field_and_stays_readable_and_writable(settings: Settings) -> None:
    name = settings.name("mentions")
    mapping = {n: field for n, field in PROPERTIES.items() if n != "model_version"} | {"release": {"type": "long"}}
    async with AsyncElasticsearch(str(settings.elasticsearch)) as client:
        await client.indices.create(
            index=f"{name}-1",
            aliases={name: {"is_write_index": True}},
            mappings={"dynamic": False, "properties": mapping},
        )
        index = Index(str(settings.elasticsearch), name)
        old = as_version_0_1(by_model("1"))
        assert kinds(await index.write([old])) == ["written"]
        await index.prepare()
        (held,) = (await client.indices.get_mapping(index=name)).values()
    assert held["mappings"]["properties"] == PROPERTIES | {"release": {"type": "long"}}
    assert kinds(await index.write([by_model("1"), by_model("2"), by_person("3")])) == ["stale", "written", "written"]
    await index.refresh()
    assert {hit.id for hit in (await index.search("Paris")).hits} == {"1", "2", "3"}
    assert await index.get("1") == by_model("1"), "a document of version 0.1 is read with today's names"
    assert await index.get("2") == by_model("2")
    newer = by_model("1", model_version=MODEL_VERSION + 1)
    assert kinds(await index.write([newer])) == ["written"]
    assert await index.held(["1"]) == {"1": newer}
    await index.close()


async def test_an_index_that_has_the_aliass_name_stops_with_its_name(settings: Settings) -> None:
    name = settings.name("mentions")
    async with AsyncElasticsearch(str(settings.elasticsearch)) as client:
        await client.indices.create(index=name)
    index = Index(str(settings.elasticsearch), name)
    with pytest.raises(Stop, match=name):
        await index.prepare()
    await index.close()


async def test_a_search_finds_words_and_names_and_returns_what_matched(index: Index) -> None:
    extracted = extraction(tweet("1"), PARIS, HILTON, ANA)
    await index.write(
        [
            from_extraction(extracted, extracted.mentions),
            from_extraction(extraction(tweet("2", "nothing in paris today")), []),
            erased("3"),
        ]
    )
    await index.refresh()
    results = await index.search("PARIS")
    assert [hit.id for hit in results.hits] == ["1", "2"]  # a mention weighs more than a word
    first = results.hits[0]
    assert [found.text for found in first.mentions if found.matched] == ["Paris Hilton", "#Paris"]
    assert [first.text[start:end] for start, end in first.matches] == ["Paris", "Paris"]
    assert await index.count() == 2


@pytest.mark.parametrize(
    ("words", "entity_type", "matched"),
    [
        pytest.param("paris", "PER", ["Paris Hilton"], id="the person, not the city"),
        pytest.param("paris", "LOC", ["#Paris"], id="the city, not the person"),
        pytest.param("seen", "LOC", None, id="a word of the text is no mention"),
        pytest.param("", "PER", ["Paris Hilton", "Ana"], id="every mention of a type"),
        pytest.param('"(seen | ~', None, [], id="a broken query is words, not an error"),
    ],
)
async def test_a_type_narrows_a_search_to_mentions(
    index: Index, words: str, entity_type: str | None, matched: list[str] | None
) -> None:
    extracted = extraction(tweet("1"), PARIS, HILTON, ANA)
    await index.write([from_extraction(extracted, extracted.mentions)])
    await index.refresh()
    results = await index.search(words, entity_type)
    found = [[found.text for found in hit.mentions if found.matched] for hit in results.hits]
    assert found == ([] if matched is None else [matched])


async def test_entities_are_counted_by_post_under_one_name(index: Index) -> None:
    first = extraction(tweet("1"), PARIS, HILTON)
    text = "PARIS, paris"
    both = [mention("PARIS", within=text), mention("paris", within=text)]
    second = extraction(tweet("2", text), *both)
    await index.write([from_extraction(first, first.mentions), from_extraction(second, both)])
    await index.refresh()
    assert [(e.name, e.type, e.tweets) for e in await index.entities()] == [
        ("paris", "LOC", 2),
        ("paris hilton", "PER", 1),
    ]
    assert [e.name for e in await index.entities("paris", "PER")] == ["paris hilton"]


async def test_an_unreachable_server_raises_retry(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        index = Index(f"http://127.0.0.1:{taken.getsockname()[1]}", settings.name("mentions"))
        with pytest.raises(Retry, match=r"127\.0\.0\.1.* is unreachable"):
            await index.write([by_model()])
        await index.close()


@asynccontextmanager
async def answering(status: str, body: str) -> AsyncIterator[str]:
    """Runs an HTTP server with one answer to every request, for states that a test cannot put Elasticsearch into."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\nX-Elastic-Product: Elasticsearch\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def bulk_item(status: int, kind: str) -> str:
    return (
        f'{{"errors":true,"items":[{{"index":{{"status":{status},"error":{{"type":"{kind}","reason":"because"}}}}}}]}}'
    )


@pytest.mark.parametrize(
    ("status", "error"),
    [
        pytest.param("401 Unauthorized", Stop, id="no credentials"),
        pytest.param("403 Forbidden", Stop, id="no permission"),
        pytest.param("429 Too Many Requests", Retry, id="overloaded"),
        pytest.param("503 Service Unavailable", Retry, id="not ready"),
        pytest.param("405 Method Not Allowed", Stop, id="something else answers"),
    ],
)
async def test_an_error_of_the_whole_request_raises_retry_or_stop(status: str, error: type[Exception]) -> None:
    async with answering(status, '{"error":{"type":"t","reason":"because"}}') as url:
        index = Index(url, "mentions")
        with pytest.raises(error, match="because"):
            await index.write([by_model()])
        await index.close()


@pytest.mark.parametrize(
    ("status", "kind", "outcome"),
    [
        pytest.param(429, "es_rejected_execution_exception", "retry", id="queue full"),
        pytest.param(503, "unavailable_shards_exception", "retry", id="no primary shard"),
        pytest.param(409, "version_conflict_engine_exception", "stale", id="conflict"),
        pytest.param(400, "document_parsing_exception", "rejected", id="bad document"),
        pytest.param(413, "content_too_long", "rejected", id="other 4xx"),
    ],
)
async def test_an_item_is_triaged_by_its_status(status: int, kind: str, outcome: str) -> None:
    async with answering("200 OK", bulk_item(status, kind)) as url:
        index = Index(url, "mentions")
        assert kinds(await index.write([by_model()])) == [outcome]
        await index.close()


async def test_a_write_refused_for_lack_of_rights_raises_stop() -> None:
    async with answering("200 OK", bulk_item(403, "security_exception")) as url:
        index = Index(url, "mentions")
        with pytest.raises(Stop, match="security_exception"):
            await index.write([by_model()])
        await index.close()
