"""The review queue's rules, on a real Redis."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from core.errors import Retry, Stop
from core.events import ImageResult, Region, ReviewTask
from local.stack import Stack
from sinks.queue.queue import ReviewQueue
from sinks.queue.values import Claim, Counts, LeaseLost
from streams.settings import Settings
from tests.sinks.conftest import Clock
from tests.sinks.values import MODEL_VERSION, extraction, task, tweet


async def order(queue: ReviewQueue) -> list[str]:
    return [entry.task.tweet.id for entry in await queue.list(limit=100)]


async def claimed(queue: ReviewQueue, reviewer: str = "ana", lease_s: float = 60) -> Claim:
    claim = await queue.claim(reviewer, lease_s)
    assert claim is not None
    return claim


async def test_the_most_uncertain_task_comes_first_and_ties_are_in_order_of_post_id(queue: ReviewQueue) -> None:
    uncertain = {"b": 0.5, "d": 0.2, "a": 0.5, "c": 0.9}
    await queue.add([task(each, number, text=f"Rome{each} is far") for each, number in uncertain.items()])
    assert await order(queue) == ["c", "a", "b", "d"]
    assert [entry.task.tweet.id for entry in await queue.list(limit=2, offset=1)] == ["a", "b"]
    assert [(await claimed(queue)).task.tweet.id for _ in range(4)] == ["c", "a", "b", "d"]
    assert await queue.claim("ana", 60) is None


async def test_a_task_added_twice_is_one_task(queue: ReviewQueue) -> None:
    assert await queue.add([task("1"), task("2"), task("1")]) == 2
    assert await queue.add([task("1"), task("2")]) == 0
    assert await queue.counts() == Counts(open=2, leased=0, decided=0)


async def test_adding_again_does_not_end_a_lease(queue: ReviewQueue) -> None:
    await queue.add([task()])
    claim = await claimed(queue)
    await queue.add([task()])
    await queue.complete(claim, 1)
    assert await queue.counts() == Counts(open=0, leased=0, decided=1)


@pytest.mark.parametrize(
    ("first", "second", "stays"),
    [
        pytest.param(task(), task(edit=1), "second", id="a newer edit replaces"),
        pytest.param(task(edit=1), task(), "first", id="an older edit is refused"),
        pytest.param(task(), task(model_version=MODEL_VERSION + 1), "second", id="a newer model version replaces"),
        pytest.param(task(model_version=MODEL_VERSION + 1), task(), "first", id="an older model version is refused"),
        pytest.param(
            task(edit=1, model_version=1),
            task(model_version=MODEL_VERSION),
            "first",
            id="an edit counts before a model version",
        ),
    ],
)
async def test_a_post_has_one_task_and_the_newest_wins(
    queue: ReviewQueue, first: ReviewTask, second: ReviewTask, stays: str
) -> None:
    await queue.add([first])
    claim = await claimed(queue)
    assert await queue.add([second]) == (stays == "second")
    (entry,) = await queue.list()
    assert entry.task == (second if stays == "second" else first)
    if stays == "second":  # the reviewer's task is out of date
        with pytest.raises(LeaseLost):
            await queue.complete(claim, 1)


async def test_a_newer_extraction_without_questions_withdraws_the_task(queue: ReviewQueue) -> None:
    await queue.add([task("1"), task("2", edit=1)])
    newer = [extraction(tweet("1", edit=1)), extraction(tweet("2", edit=0)), extraction(tweet("3"))]
    assert await queue.add((), newer) == 1
    assert await order(queue) == ["2"]


async def test_two_claimers_at_once_never_get_the_same_task(queue: ReviewQueue, settings: Settings) -> None:
    await queue.add([task(str(number)) for number in range(40)])
    reviewers = [ReviewQueue(str(settings.redis), settings.name("review:")) for _ in range(8)]

    async def work(name: int, mine: ReviewQueue) -> list[str]:
        got = []
        while claim := await mine.claim(f"r{name}", 60):
            got.append(claim.task.tweet.id)
        return got

    shares = await asyncio.gather(*(work(*pair) for pair in enumerate(reviewers)))
    everything = sorted(tweet_id for share in shares for tweet_id in share)
    assert everything == sorted(str(number) for number in range(40))
    await asyncio.gather(*(mine.close() for mine in reviewers))


async def test_a_task_is_free_again_when_its_lease_ends(queue: ReviewQueue, clock: Clock) -> None:
    await queue.add([task()])
    await claimed(queue, "ana", lease_s=60)
    clock.pass_s(59.9)
    assert await queue.claim("bob", 60) is None
    (entry,) = await queue.list()
    assert entry.reviewer == "ana"
    assert entry.until == pytest.approx(clock() / 1000 + 0.1)
    clock.pass_s(0.1)
    assert await queue.counts() == Counts(open=1, leased=0, decided=0)
    assert (await queue.list())[0].reviewer is None
    assert (await claimed(queue, "bob")).reviewer == "bob"


async def test_a_lost_lease_cannot_complete_renew_or_release(queue: ReviewQueue, clock: Clock) -> None:
    await queue.add([task()])
    lost = await claimed(queue, "ana", lease_s=60)
    clock.pass_s(61)
    held = await claimed(queue, "bob", lease_s=60)
    with pytest.raises(LeaseLost, match="no longer yours"):
        await queue.complete(lost, 1)
    with pytest.raises(LeaseLost):
        await queue.renew(lost, 60)
    await queue.release(lost)
    assert (await queue.list())[0].reviewer == "bob"
    await queue.complete(held, 2)
    assert await queue.counts() == Counts(open=0, leased=0, decided=1)


async def test_a_lease_can_be_renewed_after_its_end_if_nobody_took_the_task(queue: ReviewQueue, clock: Clock) -> None:
    await queue.add([task()])
    claim = await claimed(queue, lease_s=60)
    clock.pass_s(61)
    with pytest.raises(LeaseLost):
        await queue.complete(claim, 1)
    claim = await queue.renew(claim, 60)
    assert claim.until == pytest.approx(clock() / 1000 + 60)
    await queue.complete(claim, 1)


async def test_a_released_task_is_free_for_others_and_can_be_skipped(queue: ReviewQueue) -> None:
    await queue.add([task("1", 0.9), task("2", 0.1)])
    await queue.skip(await claimed(queue), "session")
    second = await queue.claim("ana", 60, "session")
    assert second is not None
    assert second.task.tweet.id == "2"
    assert await queue.claim("ana", 60, "session") is None
    first = await claimed(queue, "bob")
    assert first.task.tweet.id == "1"
    await queue.release(first)
    assert await queue.claim("ana", 60, "session") is None
    await queue.unskip("session")
    again = await queue.claim("ana", 60, "session")
    assert again is not None
    assert again.task.tweet.id == "1"


async def test_a_given_post_can_be_taken_unless_somebody_has_leased_it(queue: ReviewQueue) -> None:
    await queue.add([task("1"), task("2")])
    claim = await queue.take("2", "a name of words", 60)
    assert claim is not None
    assert claim.task == task("2")
    assert (await queue.list())[1].reviewer == "a name of words"
    assert await queue.take("2", "bob", 60) is None
    assert await queue.take("none", "bob", 60) is None


async def test_a_decided_edit_stays_decided_whatever_model_version_reads_it(queue: ReviewQueue) -> None:
    await queue.add([task()])
    await queue.complete(await claimed(queue), 1000)
    assert await queue.add([task(), task(model_version=MODEL_VERSION + 1)]) == 0
    assert await queue.add([task(edit=1)]) == 1  # a new text is asked about again
    assert await queue.add([task()]) == 0


async def test_complete_succeeds_when_the_same_decision_was_applied_before(queue: ReviewQueue) -> None:
    await queue.add([task()])
    claim = await claimed(queue)
    assert await queue.settle(task(), 1000)
    await queue.complete(claim, 1000)
    with pytest.raises(LeaseLost):
        await queue.complete(claim, 1001)


async def test_a_decision_may_come_before_its_task(queue: ReviewQueue) -> None:
    assert await queue.settle(task(), 1000)
    assert await queue.add([task()]) == 0
    assert await queue.counts() == Counts(open=0, leased=0, decided=1)


async def test_a_retraction_reopens_the_task_and_returns_the_stamp_to_beat(queue: ReviewQueue) -> None:
    await queue.settle(task(), 1000)
    assert await queue.reopen(task(), 1001)
    claim = await claimed(queue)
    assert (claim.task, claim.after_ms) == (task(), 1001)
    assert not await queue.reopen(task(), 1001)  # replayed: the lease stays
    assert not await queue.settle(task(), 1000)
    await queue.complete(claim, 1002)
    assert await queue.counts() == Counts(open=0, leased=0, decided=1)


async def test_a_retracted_task_waits_for_a_person_whatever_a_newer_model_finds(queue: ReviewQueue) -> None:
    await queue.settle(task(), 1000)
    await queue.reopen(task(), 1001)
    assert await queue.add([task(model_version=MODEL_VERSION + 1)]) == 0
    assert await queue.add((), [extraction(tweet(), model_version=MODEL_VERSION + 1)]) == 0
    assert await order(queue) == ["1"]


async def test_a_decision_on_an_old_edit_does_not_touch_the_new_ones_task(queue: ReviewQueue) -> None:
    await queue.add([task(edit=2)])
    assert await queue.settle(task(edit=1), 1000)
    assert await order(queue) == ["1"]
    assert await queue.settle(task(edit=2), 500)  # an older stamp, but about a newer text
    assert not await queue.settle(task(edit=1), 2000)
    assert await order(queue) == []


async def test_an_erased_post_never_returns(queue: ReviewQueue) -> None:
    await queue.add([task("1"), task("2")])
    claim = await claimed(queue)
    await queue.erase("1")
    await queue.erase("1")
    with pytest.raises(LeaseLost):
        await queue.complete(claim, 1)
    assert await queue.add([task("1", edit=9)]) == 0
    assert not await queue.settle(task("1"), 1)
    assert not await queue.reopen(task("1"), 2)
    assert await order(queue) == ["2"]
    assert await queue.counts() == Counts(open=1, leased=0, decided=0)


async def test_nothing_of_an_erased_post_stays_in_redis(queue: ReviewQueue, settings: Settings) -> None:
    sign = Region(kind="text", label="a secret sign", score=0.9, box=(0, 0, 1, 1))
    image = ImageResult(status="ok", regions=(sign,))
    await queue.add([task("1", text="Paris is a secret").model_copy(update={"image": image})])
    assert (await claimed(queue)).task.image.regions == (sign,)
    await queue.erase("1")
    async with Redis.from_url(str(settings.redis), decode_responses=True) as redis:
        keys = [key async for key in redis.scan_iter(settings.name("review:") + "*")]
        assert keys == [settings.name("review:erased")]
        assert await redis.smembers(keys[0]) == {"1"}


TASKS = [task("1"), task("1", edit=1), task("2", 0.9), task("2", 0.9, model_version=MODEL_VERSION + 1), task("3", 0.1)]
EVENTS = [
    *((0, "add", about, 0) for about in TASKS),
    (1, "settle", TASKS[0], 1000),
    (1, "settle", TASKS[2], 1001),
    (1, "reopen", TASKS[2], 1002),
    (1, "settle", TASKS[4], 1003),
    (1, "reopen", TASKS[4], 1004),
    (1, "settle", TASKS[4], 1005),
]


async def apply(queue: ReviewQueue, events: list[tuple[int, str, ReviewTask, int]]) -> None:
    for _, what, about, stamp in events:
        if what == "add":
            await queue.add([about])
        else:
            await getattr(queue, what)(about, stamp)


@given(data=st.data())
@hypothesis_settings(
    max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_lost_queue_can_be_rebuilt_by_replaying_the_topics_in_any_order(
    settings: Settings, data: st.DataObject
) -> None:
    """Any interleaving of tasks and decisions, each event once or twice, on an empty Redis."""
    events = data.draw(st.permutations(EVENTS + data.draw(st.lists(st.sampled_from(EVENTS), max_size=6))))

    async def rebuilt() -> tuple[list[ReviewTask], Counts]:
        async with Redis.from_url(str(settings.redis)) as redis:
            async for key in redis.scan_iter(settings.name("review:") + "*"):
                await redis.delete(key)
        queue = ReviewQueue(str(settings.redis), settings.name("review:"))
        await apply(queue, events)
        state = [entry.task for entry in await queue.list()], await queue.counts()
        await queue.close()
        return state

    waiting, counts = asyncio.run(rebuilt())
    assert waiting == [TASKS[2], TASKS[1]]  # the task that was taken back, and the task of the newer edit
    assert counts == Counts(open=2, leased=0, decided=2)


async def test_without_a_clock_the_servers_clock_is_used(settings: Settings) -> None:
    queue = ReviewQueue(str(settings.redis), settings.name("review:"))
    await queue.add([task()])
    claim = await claimed(queue, lease_s=100)
    async with Redis.from_url(str(settings.redis)) as redis:
        seconds, _ = await redis.time()
    assert claim.until == pytest.approx(seconds + 100, abs=2)
    await queue.close()


async def test_scripts_are_loaded_again_after_the_server_lost_them(queue: ReviewQueue, settings: Settings) -> None:
    await queue.add([task()])
    async with Redis.from_url(str(settings.redis)) as redis:
        await redis.script_flush()
        assert await queue.counts() == Counts(open=1, leased=0, decided=0)
        await redis.script_flush()
    assert await queue.add([task("2")]) == 1


async def test_an_unreachable_server_raises_retry() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        queue = ReviewQueue(f"redis://:secret@127.0.0.1:{taken.getsockname()[1]}", "review:")
        with pytest.raises(Retry, match=r"127\.0\.0\.1.* is unreachable") as caught:
            await queue.add([task()])
        assert "secret" not in str(caught.value)
        await queue.close()


async def test_a_server_that_refuses_the_credentials_raises_stop(settings: Settings) -> None:
    url = str(settings.redis).replace("redis://", "redis://nobody:wrong@")
    queue = ReviewQueue(url, settings.name("review:"))
    with pytest.raises(Stop, match="refuses our credentials"):
        await queue.counts()
    await queue.close()


async def test_keys_of_another_program_raise_stop(queue: ReviewQueue, settings: Settings) -> None:
    async with Redis.from_url(str(settings.redis)) as redis:
        await redis.set(settings.name("review:open"), "mine")
    with pytest.raises(Stop, match="WRONGTYPE"):
        await queue.add([task()])


@pytest.fixture
def redis_alone(tmp_path: Path) -> Iterator[str]:
    """Yields the URL of a Redis of this test alone, which it may reconfigure."""
    with Stack(tmp_path, ["redis"]) as stack:
        yield stack.addresses["redis"]


@pytest.mark.parametrize(
    "server_settings",
    [
        pytest.param([("maxmemory", "1"), ("maxmemory-policy", "noeviction")], id="full"),
        pytest.param([("min-replicas-to-write", "1")], id="without its replicas"),
    ],
)
async def test_a_server_that_cannot_write_raises_retry(
    redis_alone: str, server_settings: list[tuple[str, str]]
) -> None:
    queue = ReviewQueue(redis_alone, "review:")
    await queue.add([task("0")])
    async with Redis.from_url(redis_alone) as redis:
        for name, value in server_settings:
            await redis.config_set(name, value)
    with pytest.raises(Retry):
        await queue.add([task("1"), task("2")])
    with pytest.raises(Retry):
        await queue.claim("ana", 60)
    await queue.close()


async def test_a_replica_raises_retry(redis_alone: str) -> None:
    queue = ReviewQueue(redis_alone, "review:")
    async with Redis.from_url(redis_alone) as redis:
        await redis.replicaof("127.0.0.1", 1)
    with pytest.raises(Retry):
        await queue.erase("1")
    await queue.close()


async def test_a_task_that_cannot_be_read_is_skipped_with_a_warning(
    queue: ReviewQueue, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    await queue.add([task("1", 0.1), task("2", 0.9), task("3", 0.5)])
    async with Redis.from_url(str(settings.redis)) as redis:
        await redis.hset(settings.name("review:tasks"), "2", '{"of": "another release"}')
    assert await order(queue) == ["3", "1"]
    assert (await claimed(queue)).task.tweet.id == "3"
    assert (await claimed(queue)).task.tweet.id == "1"
    assert await queue.claim("ana", 60) is None
    assert await queue.take("2", "ana", 60) is None
    assert await queue.counts() == Counts(open=1, leased=2, decided=0)  # nobody holds it
    assert [record.message.partition(":")[0] for record in caplog.records] == ["skipping post 2"]
