"""A real Elasticsearch in the states that stop writes: what a write does, what the reason says, and that it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch

from core.errors import Retry, Stop
from local.stack import Stack
from sinks.index.document import Document
from sinks.index.index import Index
from streams.settings import Settings
from tests.conftest import settings_for

DOCUMENTS = [Document(str(number), 1, {"id": str(number)}) for number in range(4)]
Change = Callable[[AsyncElasticsearch, str], Awaitable[Any]]


@pytest.fixture
def settings(own_servers: Stack, tmp_path: Path) -> Settings:
    """Settings on servers that the test may block as a whole."""
    return settings_for(own_servers.addresses, tmp_path)


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[AsyncElasticsearch]:
    async with AsyncElasticsearch(str(settings.elasticsearch)) as made:
        yield made


@pytest.fixture
async def index(client: AsyncElasticsearch, settings: Settings) -> AsyncIterator[Index]:
    made = Index(str(settings.elasticsearch), settings.name("mentions"))
    await made.prepare()
    yield made
    await made.close()


async def cluster(client: AsyncElasticsearch, **values: Any) -> None:
    await client.cluster.put_settings(persistent={name.replace("__", "."): value for name, value in values.items()})


async def block(client: AsyncElasticsearch, name: str, kind: str, value: bool | None) -> None:
    await client.indices.put_settings(index=f"{name}-*", settings={f"index.blocks.{kind}": value})


async def two_indexes(client: AsyncElasticsearch, name: str) -> None:
    actions = [
        {"remove": {"index": f"{name}-1", "alias": name}},
        {"add": {"index": f"{name}-1", "alias": name}},
        {"add": {"index": f"{name}-2", "alias": name}},
    ]
    await client.indices.create(index=f"{name}-2")
    await client.indices.update_aliases(actions=actions)


STATES = [
    pytest.param(
        lambda client, name: cluster(client, cluster__blocks__read_only=True),
        lambda client, name: cluster(client, cluster__blocks__read_only=None),
        "read-only|blocks writes",
        id="a read-only cluster",
    ),
    pytest.param(
        lambda client, name: cluster(client, cluster__blocks__read_only_allow_delete=True),
        lambda client, name: cluster(client, cluster__blocks__read_only_allow_delete=None),
        "read-only|blocks writes",
        id="a read-only cluster that may delete",
    ),
    pytest.param(
        lambda client, name: block(client, name, "read_only", True),
        lambda client, name: block(client, name, "read_only", None),
        "blocks writes",
        id="a read-only index",
    ),
    pytest.param(
        lambda client, name: block(client, name, "read_only_allow_delete", True),
        lambda client, name: block(client, name, "read_only_allow_delete", None),
        "its disk is full",
        id="the flood stage",
    ),
    pytest.param(
        lambda client, name: block(client, name, "write", True),
        lambda client, name: block(client, name, "write", None),
        "blocks writes",
        id="a write block",
    ),
    pytest.param(
        lambda client, name: client.indices.close(index=f"{name}-1"),
        lambda client, name: client.indices.open(index=f"{name}-1"),
        "has closed the index",
        id="a closed index",
    ),
    pytest.param(
        two_indexes,
        lambda client, name: client.indices.delete(index=f"{name}-2"),
        "has no write index",
        id="an alias without a write index",
    ),
]


async def outcome(index: Index) -> tuple[str, str]:
    try:
        outcomes = await index.write(DOCUMENTS)
    except Retry as fault:
        return "retry", str(fault)
    except Stop as fault:
        return "stop", str(fault)
    return outcomes[0].kind, outcomes[0].reason


@pytest.mark.parametrize(("enter", "leave", "says"), STATES)
async def test_a_write_waits_for_the_state_to_end(
    client: AsyncElasticsearch, index: Index, settings: Settings, enter: Change, leave: Change, says: str
) -> None:
    name = settings.name("mentions")
    await enter(client, name)
    try:
        kind, reason = await outcome(index)
    finally:
        await leave(client, name)
    assert kind == "retry", reason
    assert any(part in reason for part in says.split("|")), reason
    assert "credentials" not in reason
    kind, _ = await outcome(index)
    assert kind == "written"


async def test_a_worker_that_starts_waits_for_a_read_only_cluster(
    client: AsyncElasticsearch, settings: Settings
) -> None:
    index = Index(str(settings.elasticsearch), settings.name("mentions"))
    await cluster(client, cluster__blocks__read_only=True)
    try:
        with pytest.raises(Retry, match="read-only") as caught:
            await index.prepare()
    finally:
        await cluster(client, cluster__blocks__read_only=None)
    assert "credentials" not in str(caught.value)
    await index.prepare()
    assert (await outcome(index))[0] == "written"
    await index.close()


async def test_a_worker_that_starts_waits_for_room_for_another_shard(
    client: AsyncElasticsearch, settings: Settings, index: Index
) -> None:
    other = Index(str(settings.elasticsearch), settings.name("others"))
    await cluster(client, cluster__max_shards_per_node=1)
    try:
        with pytest.raises(Retry, match="no room for another shard"):
            await other.prepare()
    finally:
        await cluster(client, cluster__max_shards_per_node=None)
    await other.prepare()
    assert (await outcome(other))[0] == "written"
    await other.close()


async def test_an_index_deleted_under_the_worker_is_made_again(
    client: AsyncElasticsearch, index: Index, settings: Settings
) -> None:
    await client.indices.delete(index=settings.name("mentions") + "-1")
    assert (await outcome(index))[0] == "retry"
    assert (await outcome(index))[0] == "written"
    await client.indices.delete(index=settings.name("mentions") + "-1")
    assert await index.held(["1"]) == {}, "a caller that has just written the document tries again"


async def test_an_id_that_is_too_long_is_rejected_alone(index: Index) -> None:
    outcomes = await index.write([*DOCUMENTS[:2], Document("x" * 600, 1, {"id": "x"}), *DOCUMENTS[2:]])
    assert [result.kind for result in outcomes] == ["written", "written", "rejected", "written", "written"]
    assert "too long" in outcomes[2].reason


async def test_a_name_that_cannot_name_an_index_stops_and_is_named(servers: Any, settings: Settings) -> None:
    index = Index(str(settings.elasticsearch), "Mentions")
    with pytest.raises(Stop, match=r"'Mentions' cannot be the name .*lower"):
        await index.prepare()
    await index.close()


async def test_another_server_at_the_address_is_never_called_a_refusal(servers: Any, settings: Settings) -> None:
    index = Index(str(settings.redis).replace("redis://", "http://"), "mentions", timeout_s=2)
    with pytest.raises((Retry, Stop)) as caught:
        await index.write(DOCUMENTS)
    assert "credentials" not in str(caught.value)
    assert "unreachable" not in str(caught.value)
    await index.close()
