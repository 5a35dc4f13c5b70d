"""Several people vote on one task, and each has a history, on a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from core.events import Decision, EntityType, ReviewTask, Vote
from sinks.index.document import stamp_ms
from sinks.queue.history import KEEP_S, MOST
from sinks.queue.queue import ReviewQueue
from sinks.queue.values import Claim, Counts, LeaseLost
from streams.settings import Settings
from tests.sinks.conftest import Clock
from tests.sinks.values import extraction, mention, task, tweet

START = Clock().now


def at(stamp: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=START + stamp)


def vote(reviewer: str, stamp: int, kind: EntityType = "LOC") -> Vote:
    return Vote(reviewer=reviewer, decided_at=at(stamp), mentions=(mention("Paris", kind),))


def record(
    about: ReviewTask, stamp: int, *votes: Vote, kind: Literal["settle", "retract", "vote"] = "vote", needed: int = 2
) -> Decision:
    return Decision(
        id=f"d{about.tweet.id}{stamp}",
        kind=kind,
        task=about,
        mentions=(),
        reviewer=votes[-1].reviewer if votes else "ana",
        decided_at=at(stamp),
        votes=votes,
        votes_needed=needed if votes else 0,
    )


async def claimed(queue: ReviewQueue, reviewer: str, session: str = "") -> str | None:
    claim = await queue.claim(reviewer, 60, session)
    return claim.task.tweet.id if claim else None


async def test_a_claim_passes_over_what_the_reviewer_has_voted_on(queue: ReviewQueue) -> None:
    tasks = [task("1", 0.9), task("2", 0.5), task("3", 0.1)]
    await queue.add(tasks)
    for voted in tasks[:2]:
        assert await queue.votes.apply(record(voted, 1, vote("ana", 1)))
    assert await claimed(queue, "ana") == "3"
    assert await claimed(queue, "ana") is None
    assert await claimed(queue, "ana", "browser") is None
    assert await claimed(queue, "bob", "browser") == "1", "another person at the same browser"
    assert await claimed(queue, "ana", "browser") is None
    assert await claimed(queue, "bob") == "2"


async def test_a_session_that_was_open_before_the_vote_passes_over_it_too(queue: ReviewQueue) -> None:
    await queue.add([task("1", 0.9), task("2", 0.5)])
    claim = await queue.claim("ana", 60, "browser")
    assert claim is not None
    await queue.skip(claim, "browser")
    assert await claimed(queue, "ana", "browser") == "2"
    await queue.votes.apply(record(task("1"), 1, vote("ana", 1)))
    await queue.unskip("browser")
    assert await claimed(queue, "ana", "browser") is None
    await queue.votes.apply(record(task("1"), 2))  # taken back
    assert await claimed(queue, "ana", "browser") == "1"


async def test_the_next_reviewer_gets_the_ballot_and_the_stamp_to_beat_but_no_list_shows_it(
    queue: ReviewQueue,
) -> None:
    await queue.add([task("1")])
    await queue.votes.apply(record(task("1"), 7, vote("ana", 7)))
    claim = await queue.claim("bob", 60)
    assert claim is not None
    assert (claim.ballot.votes, claim.after_ms, claim.ballot.reopened) == ((vote("ana", 7),), START + 7, False)
    assert "ana" not in repr(await queue.list())


async def test_differing_votes_wait_for_somebody_who_takes_the_task_by_its_id(queue: ReviewQueue, clock: Clock) -> None:
    await queue.add([task("1", 0.9), task("2", 0.5)])
    both = vote("ana", 1), vote("bob", 2, "ORG")
    await queue.votes.apply(record(task("1", 0.9), 2, *both))
    assert await queue.counts() == Counts(open=1, leased=0, decided=0, disputed=1)
    assert await claimed(queue, "eve") == "2"
    assert await claimed(queue, "eve") is None
    (dispute,) = await queue.votes.disputed()
    assert (dispute.task.tweet.id, dispute.votes) == ("1", both)
    claim = await queue.take("1", "eve", 60)
    assert claim is not None
    assert claim.ballot.is_disputed
    assert await queue.votes.disputed() == []
    clock.pass_s(61)
    assert len(await queue.votes.disputed()) == 1, "the lease has ended"
    claim = await queue.take("1", "eve", 60)
    assert claim is not None
    await queue.complete(claim, START + 100)
    assert await queue.votes.disputed() == []
    assert await queue.counts() == Counts(open=1, leased=0, decided=1)


async def test_a_cast_vote_ends_the_lease_and_may_come_again(queue: ReviewQueue) -> None:
    await queue.add([task("1")])
    claim = await queue.claim("ana", 60)
    assert claim is not None
    voted = record(task("1"), 1, vote("ana", 1))
    await queue.votes.cast(claim, voted)
    assert await queue.counts() == Counts(open=1, leased=0, decided=0)
    taken = await queue.claim("bob", 60)
    await queue.votes.cast(claim, voted)
    assert not await queue.votes.apply(voted), "as a worker does that reads it from the topic"
    assert taken is not None
    await queue.renew(taken, 60)
    with pytest.raises(LeaseLost):
        await queue.votes.cast(claim, record(task("1"), 5, vote("ana", 5)))


async def test_a_vote_that_came_from_elsewhere_ends_the_lease_of_one_who_does_not_know_it(queue: ReviewQueue) -> None:
    await queue.add([task("1")])
    claim = await queue.claim("bob", 60)
    await queue.votes.apply(record(task("1"), 1, vote("ana", 1)))
    assert claim is not None
    with pytest.raises(LeaseLost):
        await queue.renew(claim, 60)


@pytest.mark.parametrize("change", ["edit", "withdrawal", "settled", "taken back", "erased", "forgotten"])
async def test_votes_are_cleared_when_they_count_no_more(queue: ReviewQueue, settings: Settings, change: str) -> None:
    await queue.add([task("1")])
    await queue.votes.apply(record(task("1"), 2, vote("ana", 1), vote("bob", 2, "ORG")))
    if change == "edit":
        await queue.add([task("1", edit=1)])
        assert await claimed(queue, "ana") == "1"
    elif change == "withdrawal":
        await queue.add([], [extraction(tweet("1", edit=1))])
    elif change == "settled":
        await queue.settle(task("1"), START + 3)
    elif change == "taken back":
        await queue.votes.apply(record(task("1"), 3))
        assert await claimed(queue, "ana") == "1"
    elif change == "erased":
        await queue.erase("1")
    else:
        assert await queue.forget({"1": 0}) == {"1"}
    left = await held(settings, "voters", "voted_by", "in_dispute", "disputed")
    assert left == {}


async def test_a_disputed_task_stays_so_while_its_post_is_hidden(queue: ReviewQueue) -> None:
    await queue.hide("1")
    await queue.votes.apply(record(task("1"), 2, vote("ana", 1), vote("bob", 2, "ORG")))
    assert await queue.votes.disputed() == []
    assert await queue.take("1", "eve", 60) is None
    await queue.show("1")
    assert len(await queue.votes.disputed()) == 1
    assert await claimed(queue, "eve") is None
    await queue.hide("1")
    assert await queue.votes.disputed() == []


async def test_a_repair_keeps_disputed_tasks_from_claims(queue: ReviewQueue, settings: Settings) -> None:
    await queue.add([task("1", 0.9), task("2", 0.5)])
    await queue.votes.apply(record(task("1", 0.9), 2, vote("ana", 1), vote("bob", 2, "ORG")))
    async with Redis.from_url(str(settings.redis)) as redis:
        await redis.delete(settings.name("review:free"))
    assert await claimed(queue, "eve") == "2"
    assert [one.task.tweet.id for one in await queue.votes.disputed()] == ["1"]


# One end state

TASKS = {
    "a": task("a", 0.9),
    "b": task("b", 0.8),
    "c": task("c", 0.7, edit=1),
    "d": task("d", 0.6),
    "e": task("e", 0.5),
    "f": task("f", 0.4),
    "g": task("g", 0.3),
}
ANA, BOB, BOBS_OTHER = vote("ana", 1), vote("bob", 2), vote("bob", 2, "ORG")
EVENTS: list[Any] = [
    *TASKS.values(),
    task("a", 0.9, model_version=task().model_version + 1),  # read again
    task("c", 0.7),  # the edit before
    record(TASKS["a"], 1, ANA),
    record(TASKS["b"], 1, ANA),
    record(TASKS["b"], 2, ANA, BOBS_OTHER),
    record(task("c", 0.7), 1, ANA),  # on an edit that is over
    record(TASKS["d"], 1, ANA),
    record(TASKS["d"], 2, ANA, BOB, kind="settle"),
    record(TASKS["e"], 1, ANA),
    record(TASKS["e"], 2, ANA, BOB, kind="settle"),
    record(TASKS["e"], 3, ANA, kind="retract"),
    record(TASKS["e"], 4, kind="retract"),
    record(TASKS["f"], 2, ANA, BOBS_OTHER),
    record(TASKS["g"], 2, ANA, BOBS_OTHER),
    ("hide", "f"),
    ("erase", "g"),
]


async def held(settings: Settings, *names: str) -> dict[str, Any]:
    """Returns what these keys hold, and those below them."""
    found: dict[str, Any] = {}
    async with Redis.from_url(str(settings.redis), decode_responses=True) as redis:
        async for key in redis.scan_iter(settings.name("review:") + "*"):
            if key.removeprefix(settings.name("review:")).partition(":")[0] in names or not names:
                kind = str(await redis.type(key))
                read: Any = {"hash": redis.hgetall, "set": redis.smembers, "string": redis.get}.get(kind)
                found[key] = await (read(key) if read else redis.zrange(key, 0, -1))
    return found


async def apply(queue: ReviewQueue, events: Sequence[Any]) -> None:
    for event in events:
        if isinstance(event, ReviewTask):
            await queue.add([event])
        elif isinstance(event, tuple):
            await getattr(queue, event[0])(event[1])
        elif event.kind == "settle":
            await queue.settle(event.task, stamp_ms(event.decided_at))
        else:
            await queue.votes.apply(event)


@given(data=st.data())
@hypothesis_settings(
    max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_votes_in_any_order_leave_one_end_state(settings: Settings, data: st.DataObject) -> None:
    """Any interleaving of tasks, votes, settlements and marks, each once or twice, on an empty Redis."""
    events = data.draw(st.permutations(EVENTS + data.draw(st.lists(st.sampled_from(EVENTS), max_size=8))))

    async def after(some: Sequence[Any]) -> tuple[Any, ...]:
        async with Redis.from_url(str(settings.redis)) as redis:
            async for key in redis.scan_iter(settings.name("review:") + "*"):
                await redis.delete(key)
        queue = ReviewQueue(str(settings.redis), settings.name("review:"), Clock())
        await apply(queue, some)
        keys = ("open", "held", "tasks", "free", "disputed", "in_dispute", "votes", "voters", "voted_by")
        state = await held(settings, *keys, "settled", "retracted", "erased", "hidden")
        # all tasks ask about one name, and those that come later lose a little: so their order is that of arrival
        state = {key: sorted(value) if isinstance(value, list) else value for key, value in state.items()}
        shown = {entry.task.tweet.id for entry in await queue.list()}, await queue.counts()
        disputed = [dispute.task.tweet.id for dispute in await queue.votes.disputed()]
        free = {name: {await claimed(queue, name, name) for _ in range(2)} for name in ("ana", "bob")}
        await queue.close()
        return state, shown, disputed, free

    state, shown, disputed, free = asyncio.run(after(events))
    assert shown == ({"a", "b", "c", "e"}, Counts(open=3, leased=0, decided=1, disputed=1))
    assert disputed == ["b"]
    assert free == {"ana": {"c", "e"}, "bob": {"a", None}}
    assert state == asyncio.run(after(EVENTS))[0]


# Histories


async def test_a_history_holds_the_last_ten_decisions_the_latest_first(queue: ReviewQueue, settings: Settings) -> None:
    for number in range(MOST + 3):
        await queue.history.add(record(task(str(number)), number, kind="settle"))
    found = await queue.history.of("ana")
    assert [one.decision.task.tweet.id for one in found] == [str(number) for number in range(MOST + 2, 2, -1)]
    assert found[0].decision == record(task(str(MOST + 2)), MOST + 2, kind="settle")
    assert len(await queue.history.of("ana", 3)) == 3
    assert await queue.history.of("bob") == []
    (answers,) = (await held(settings, "answers")).values()
    assert len(answers) == MOST, "what fell out of the history is gone"


async def test_another_queue_object_reads_the_same_history(queue: ReviewQueue, settings: Settings) -> None:
    await queue.history.add(record(task("1"), 1, kind="settle"))
    other = ReviewQueue(str(settings.redis), settings.name("review:"), Clock())
    assert await other.history.of("ana") == await queue.history.of("ana") != []
    await other.close()


async def test_a_history_forgets_what_is_old_even_if_its_reviewer_never_returns(
    queue: ReviewQueue, settings: Settings, clock: Clock
) -> None:
    await queue.history.add(record(task("1"), 1, kind="settle"))
    clock.pass_s(KEEP_S + 1)
    assert [page async for page in queue.kept() if page] == [], "as a sweep reads it"
    assert await held(settings) == {}


@pytest.mark.parametrize("how", ["erase", "forget"])
async def test_nothing_of_a_post_that_goes_stays_in_votes_and_histories(
    queue: ReviewQueue, settings: Settings, how: str
) -> None:
    secret = task("1", text="Paris is a secret")
    await queue.add([secret])
    both = tuple(Vote(reviewer=name, decided_at=at(2), mentions=()) for name in ("ana", "bob"))
    await queue.votes.apply(record(secret, 2, *both))
    await queue.history.add(record(secret, 1, both[0]))
    await queue.history.add(record(secret, 2, *both))
    assert (await queue.holds("1")).decided
    await (queue.erase("1") if how == "erase" else queue.forget({"1": 0}))
    left = await held(settings)
    assert left == ({settings.name("review:erased"): {"1"}} if how == "erase" else {})
    await queue.history.add(record(secret, 3, both[0]))
    assert len(await queue.history.of("ana")) == (0 if how == "erase" else 1)


async def test_a_sweep_finds_the_tasks_in_histories(queue: ReviewQueue) -> None:
    await queue.settle(task("1"), START + 1)
    await queue.history.add(record(task("1"), 1, kind="settle"))
    assert [page async for page in queue.kept() if page] == [[task("1")]]
    assert await queue.tasks(["1"]) == {"1": task("1")}


async def test_a_history_leaves_out_hidden_posts_until_they_are_shown(queue: ReviewQueue) -> None:
    await queue.history.add(record(task("1"), 1, kind="settle"))
    await queue.hide("1")
    assert await queue.history.of("ana") == []
    assert await queue.history.find("ana", "1") is None
    await queue.show("1")
    assert len(await queue.history.of("ana")) == 1


async def test_a_history_says_what_others_have_changed_since(queue: ReviewQueue) -> None:
    async def changed() -> dict[str, bool]:
        return {one.decision.task.tweet.id: one.is_changed for one in await queue.history.of("ana")}

    await queue.add([task("voted"), task("edited"), task("settled")])
    await queue.votes.apply(record(task("voted"), 1, vote("ana", 1)))
    await queue.history.add(record(task("voted"), 1, vote("ana", 1)))
    for post in ("edited", "settled"):
        await queue.settle(task(post), START + 1)
        await queue.history.add(record(task(post), 1, kind="settle"))
    assert await changed() == {"voted": False, "edited": False, "settled": False}
    await queue.votes.apply(record(task("voted"), 2, vote("ana", 1), vote("bob", 2, "ORG")))
    await queue.add([task("edited", edit=1)])
    await queue.settle(task("settled"), START + 9)
    assert await changed() == {"voted": False, "edited": True, "settled": True}
    await queue.settle(task("voted"), START + 10)
    assert (await changed())["voted"]


# Leases of a browser


async def test_a_reload_finds_the_leases_of_its_session(queue: ReviewQueue, clock: Clock) -> None:
    await queue.add([task(str(number), 0.9 - number / 10) for number in range(5)])
    mine = [await queue.claim("ana", 60, "left") for _ in range(3)]
    other = await queue.claim("ana", 60, "right")
    assert await queue.held_by("ana", "left") == mine
    assert await queue.held_by("ana", "right") == [other]
    assert await queue.held_by("bob", "left") == []
    first = mine[0]
    assert first is not None
    assert await queue.held("0", "ana", first.token) == first
    assert await queue.held("0", "ana", "0123") is None
    clock.pass_s(50)
    assert other is not None
    await queue.release(other)
    leases = [(claim.task.tweet.id, claim.token) for claim in (*mine, other) if claim]
    renewed = await queue.renew_all("ana", leases, 60)
    assert [claim and claim.until for claim in renewed] == [*[clock() / 1000 + 60] * 3, None]
    clock.pass_s(50)
    assert len(await queue.held_by("ana", "left")) == 3
    clock.pass_s(50)
    assert await queue.held_by("ana", "left") == []


async def test_one_lease_gives_one_stamp_to_a_decision(queue: ReviewQueue, clock: Clock) -> None:
    await queue.add([task("1")])
    claim: Claim | None = await queue.claim("ana", 60)
    assert claim is not None
    assert [await queue.history.stamp(claim, "d", stamp) for stamp in (5, 9)] == [5, 5]
    assert await queue.history.stamp(claim, "another", 9) == 9
    clock.pass_s(61)
    assert await claimed(queue, "bob") == "1"
    with pytest.raises(LeaseLost):
        await queue.history.stamp(claim, "another", 9)
