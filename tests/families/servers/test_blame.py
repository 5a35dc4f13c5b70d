"""When a large record that breaks the connection is blamed for it, and when something else is."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from core.errors import Reject, Retry
from core.events import ReviewTask
from sinks.answers.answer import Slow
from sinks.blame import LARGE, PATIENCE, Blame
from sinks.index.document import Document
from sinks.index.index import Index, Outcome
from sinks.queue.queue import ReviewQueue
from streams.settings import Settings
from tests.families.servers.http_server import Reply, http_proxy, serving
from tests.families.servers.reaction import reaction
from tests.families.servers.redis_proxy import redis_proxy
from tests.sinks.conftest import index as index  # noqa: PLC0414
from tests.sinks.values import task
from tests.streams.images.clock import Clock

BREAKS, DEAD, TIMES_OUT, BUSY, PASSES = "breaks", "breaks, and nothing answers", "times out", "busy", "passes"
LATER = "not sent for a day"
SMALL = [
    pytest.param(LARGE - 1, [BREAKS] * 91, 20, True, id="small: 91 breaks in half an hour"),
    pytest.param(1, [BREAKS] * 91, 20, True, id="tiny: 91 breaks in half an hour"),
    pytest.param(1, [BREAKS] * 90, 20, False, id="small: not quite half an hour"),
    pytest.param(1, [BREAKS] * 5, 450, True, id="small: five breaks in half an hour"),
    pytest.param(1, [BREAKS] * 4, 600, False, id="small: four breaks in half an hour"),
    pytest.param(1, [BREAKS] * 5, 3600, False, id="small: a break each hour"),
    pytest.param(1, [BREAKS] * 90 + [LATER, BREAKS], 20, False, id="small: again the day after"),
    pytest.param(1, [BREAKS] * 60 + [LATER] + [BREAKS] * 90, 20, False, id="small: twice not quite half an hour"),
    pytest.param(1, [BREAKS] * 60 + [LATER] + [BREAKS] * 91, 20, True, id="small: half an hour the day after"),
    pytest.param(1, [BREAKS] * 400, 4, False, id="small: 400 breaks in 27 minutes"),
    pytest.param(1, [BREAKS] * 50 + [DEAD] + [BREAKS] * 90, 20, False, id="small: away in between"),
    pytest.param(1, [BREAKS] * 50 + [PASSES] + [BREAKS] * 90, 20, False, id="small: it passed in between"),
    pytest.param(1, [BREAKS] * 50 + [TIMES_OUT] + [BREAKS] * 90, 20, False, id="small: a time-out in between"),
    pytest.param(1, [BREAKS] * 50 + [BUSY] + [BREAKS] * 90, 20, False, id="small: busy in between"),
    pytest.param(1, [BREAKS] * 50 + [DEAD] + [BREAKS] * 91, 20, True, id="small: away, and then half an hour"),
    pytest.param(1, [DEAD] * 400, 20, False, id="small: a server that is away for two hours"),
    pytest.param(1, [TIMES_OUT] * 400, 20, False, id="small: time-outs alone"),
]
SEQUENCES = [
    pytest.param([BREAKS] * 5, 20, True, id="five breaks in 80 seconds"),
    pytest.param([BREAKS] * 4, 60, False, id="four breaks in three minutes"),
    pytest.param([BREAKS] * 5, 1, False, id="five breaks in four seconds"),
    pytest.param([BREAKS] * 20, 1, False, id="twenty breaks in 19 seconds"),
    pytest.param([BREAKS] * 61, 1, True, id="sixty-one breaks in a minute"),
    pytest.param([DEAD] * 30, 20, False, id="a server that is away for ten minutes"),
    pytest.param([BREAKS] * 4 + [DEAD, BREAKS], 20, False, id="away just before the fifth"),
    pytest.param([BREAKS, DEAD] * 10, 20, False, id="a server that comes and goes"),
    pytest.param([BREAKS] * 4 + [PASSES, BREAKS], 20, False, id="it passed just before the fifth"),
    pytest.param([BREAKS] * 4 + [PASSES] + [BREAKS] * 5, 20, True, id="it passed, and then breaks five times"),
    pytest.param([BREAKS] * 4 + [TIMES_OUT, BREAKS], 20, False, id="a time-out before the fifth"),
    pytest.param([BREAKS] * 4 + [BUSY, BREAKS], 20, False, id="busy before the fifth"),
    pytest.param([TIMES_OUT] * 30, 20, False, id="time-outs alone"),
    pytest.param([BUSY] * 30, 20, False, id="busy all the time"),
    pytest.param([BREAKS] * 5, 600, True, id="five breaks, ten minutes apart"),
    pytest.param([BREAKS] * 9, 601, False, id="breaks more than ten minutes apart"),
    pytest.param([BREAKS] * 9, 86_400, False, id="a break each day"),
    pytest.param([BREAKS] * 4 + [LATER, BREAKS], 20, False, id="four breaks, and one the day after"),
    pytest.param([BREAKS] * 4 + [LATER] + [BREAKS] * 4, 20, False, id="four breaks, and four the day after"),
    pytest.param([BREAKS] * 4 + [LATER] + [BREAKS] * 5, 20, True, id="four breaks, and five the day after"),
]


LARGE_ONES = [pytest.param(LARGE, *case.values, id=case.id) for case in SEQUENCES]


@pytest.mark.parametrize(("size", "sequence", "apart_s", "blamed"), [*LARGE_ONES, *SMALL])
async def test_a_record_is_blamed(size: int, sequence: list[str], apart_s: float, blamed: bool) -> None:
    clock, alive = Clock(), [True]

    async def answers() -> bool:
        return alive[0]

    blame = Blame(answers, clock)
    due = []
    for happens in sequence:
        alive[0] = happens != DEAD
        if happens == PASSES:
            blame.passed(["1"])
            continue
        if happens == LATER:
            clock.now += 86_400
            continue
        fault = Retry("busy") if happens == BUSY else Slow("cut", broke=happens in {BREAKS, DEAD})
        due.append(await blame.is_due("1", size, fault))
        clock.now += apart_s
    assert due.index(True) == len(due) - 1 if blamed else not any(due)


async def test_the_breaks_of_another_record_do_not_count(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    blame = Blame(passes, clock)
    for number in range(90):
        assert not await blame.is_due("small", LARGE - 1, Slow("cut", broke=True))
        assert not await blame.is_due(str(number), LARGE, Slow("cut", broke=True))
        clock.now += 20
    assert [record.getMessage() for record in caplog.records] == [
        "the connection has broken 5 times in a row when post small was sent alone, while other writes passed. If this "
        "goes on for 30 minutes, the post becomes a dead letter"
    ]


async def test_a_record_that_breaks_again_after_it_passed_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    blame = Blame(passes, clock)
    for _ in range(3):
        for _ in range(20):
            assert not await blame.is_due("small", 1, Slow("cut", broke=True))
            clock.now += 20
        blame.passed(["small"])
    assert len(caplog.records) == 3


async def test_what_broke_long_ago_is_forgotten() -> None:
    clock = Clock()
    blame = Blame(passes, clock)
    for number in range(1000):
        await blame.is_due(str(number), 1, Slow("cut", broke=True))
        clock.now += 20
    assert len(blame._breaks) == 600 / 20 + 1


async def passes() -> bool:
    return True


def large_task(tweet_id: str, length: int = 200_000) -> ReviewTask:
    small = task(tweet_id)
    return small.model_copy(update={"tweet": small.tweet.model_copy(update={"text": "x" * length})})


async def twenty_times(call: Callable[[], Awaitable[object]]) -> list[str]:
    """Returns the kinds of the outcomes, up to the first that is not `retry`."""
    kinds: list[str] = []
    while len(kinds) < 20 and set(kinds) <= {"retry"}:
        kinds.append((await reaction(call())).partition("|")[0])
    return kinds


Call = Callable[[ReviewQueue], Awaitable[object]]
CALLS = [
    pytest.param(lambda queue: queue.add([large_task("1")]), id="add"),
    pytest.param(lambda queue: queue.reopen(large_task("1"), 7), id="reopen"),
]


@pytest.mark.servers
@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("call", CALLS)
async def test_a_task_that_a_proxy_before_redis_hangs_up_on_is_rejected(own_redis: str, call: Call) -> None:
    port = urlsplit(own_redis).port
    assert port
    async with redis_proxy(port, 100_000) as url:
        queue = ReviewQueue(url, f"{uuid4().hex}:")
        assert await twenty_times(lambda: call(queue)) == ["retry"] * (PATIENCE - 1) + ["reject"]
        assert await queue.add([task("2")]) == 1
        assert (await queue.counts()).open == 1
        await queue.close()


@pytest.mark.servers
@pytest.mark.usefixtures("at_once")
async def test_a_small_task_that_a_proxy_hangs_up_on_is_rejected_in_the_end(own_redis: str) -> None:
    async with redis_proxy(urlsplit(own_redis).port, 40_000) as url:
        queue = ReviewQueue(url, f"{uuid4().hex}:")
        for _ in range(PATIENCE - 1):
            with pytest.raises(Retry):
                await queue.add([large_task("1", 50_000)])
        with pytest.raises(Reject, match="the connection to Redis breaks each time this task is sent"):
            await queue.add([large_task("1", 50_000)])
        assert await queue.add([task("2")]) == 1
        await queue.close()


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("call", CALLS)
async def test_no_task_is_rejected_while_a_proxy_answers_for_a_dead_redis(call: Call) -> None:
    async with redis_proxy(None, 0) as url:
        queue = ReviewQueue(url, "blame:")
        assert await twenty_times(lambda: call(queue)) == ["retry"] * 20
        await queue.close()


@pytest.mark.servers
@pytest.mark.parametrize("call", CALLS)
async def test_no_task_is_rejected_before_a_minute_is_over(own_redis: str, call: Call) -> None:
    port = urlsplit(own_redis).port
    async with redis_proxy(port, 100_000) as url:
        queue = ReviewQueue(url, "blame:")
        assert await twenty_times(lambda: call(queue)) == ["retry"] * 20
        await queue.close()


@pytest.mark.servers
@pytest.mark.usefixtures("at_once")
async def test_no_task_is_rejected_while_redis_takes_no_writes(own_redis: str) -> None:
    async with Redis.from_url(own_redis) as redis, redis_proxy(urlsplit(own_redis).port, 100_000) as url:
        await redis.replicaof("127.0.0.1", "1")
        queue = ReviewQueue(url, "blame:")
        try:
            assert await twenty_times(lambda: queue.add([large_task("1")])) == ["retry"] * 20
        finally:
            await redis.replicaof("NO", "ONE")
            await queue.close()


LARGE_DOCUMENT = Document("large", 1, {"id": "x" * 200_000})


@pytest.mark.usefixtures("at_once")
async def test_no_document_is_rejected_while_a_cache_answers_for_a_dead_elasticsearch() -> None:
    """It answers what only reads, and hangs up on everything else."""
    async with serving(lambda request: Reply(body=b"{}") if request.method in {"GET", "HEAD"} else None) as url:
        index = Index(url, "mentions")
        assert await twenty_times(lambda: index.write([LARGE_DOCUMENT])) == ["retry"] * 20
        await index.close()


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    "item",
    [
        pytest.param(
            {"status": 403, "error": {"type": "cluster_block_exception", "reason": "r"}}, id="a blocked index"
        ),
        pytest.param({"status": 404, "error": {"type": "index_not_found_exception", "reason": "r"}}, id="no index"),
        pytest.param({"status": 503, "error": {"type": "unavailable_shards_exception", "reason": "r"}}, id="no shard"),
    ],
)
async def test_no_document_is_rejected_while_elasticsearch_takes_no_writes(item: dict[str, object]) -> None:
    body = json.dumps({"errors": True, "items": [{"update": item}]}).encode()
    async with serving(lambda request: Reply(body=body) if len(request.body) < 100_000 else None) as url:
        index = Index(url, "mentions")
        assert await twenty_times(lambda: index.write([LARGE_DOCUMENT])) == ["retry"] * 20
        await index.close()


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("length", "most", "says"),
    [
        pytest.param(200_000, 100_000, "the document is too large for Elasticsearch", id="large"),
        pytest.param(50_000, 40_000, "breaks each time this document is sent", id="small"),
    ],
)
async def test_a_document_that_a_proxy_before_elasticsearch_hangs_up_on_is_rejected(
    index: Index, settings: Settings, length: int, most: int, says: str
) -> None:
    """The proxy passes everything on to a real Elasticsearch, except long requests."""
    harmful = Document("large", 1, {"id": "x" * length})
    there = urlsplit(str(settings.elasticsearch))
    small = Document("small", 1, {"id": "small"})
    async with http_proxy(there.hostname or "", there.port or 0, most) as url:
        behind = Index(url, settings.name("mentions"))
        outcomes: list[Outcome] = []

        async def write() -> None:
            outcomes[:] = await behind.write([harmful, small])

        kinds = await twenty_times(write)
        await behind.close()
    assert kinds[-1] == "done"
    assert [outcome.kind for outcome in outcomes] == ["rejected", "written"]
    assert says in outcomes[0].reason
    await index.refresh()
    assert await index.count() == 1
